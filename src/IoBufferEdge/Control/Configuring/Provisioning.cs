using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control.Configuring;

/// <summary>
/// How what an installer gives gets into the data folder: judged as a whole, kept in one step (<see cref="ConfigStore.SaveFactory"/>), then taken
/// up: its secrets first, then its configuration, whose hash says that nothing is left to do. A power cut before that step leaves the device as
/// it was, and behind it every start takes up what was kept.
/// </summary>
public static class Provisioning
{
    /// <summary>The document of a device that nobody has told anything yet.</summary>
    public const string Nothing = """{"schema_version":1,"channels":[]}""";

    /// <summary>Keeps what was given, to be taken up; null: there is nothing new in it, or it was only to be checked.</summary>
    /// <param name="present">The document that it is laid over.</param>
    /// <param name="sentence">What was done.</param>
    /// <exception cref="ConfigControlException">It is wrong, a sentence a line, or cannot be kept; nothing has changed.</exception>
    public static Provision? Keep(
        ConfigStore store, SecretStore secrets, ConfigState state, Provision given, string present, bool checkOnly, out string sentence)
    {
        var former = store.LoadFactory();
        var next = given.Over(former, former?.Hash == state.Factory);
        var problems = new List<ConfigProblem>();
        if (next.Check(present, secrets, problems) is not { } made)
            throw new ConfigControlException(string.Join('\n', problems.Where(p => p.Severity == ConfigSeverity.Error).Select(Sentence)));
        sentence = Summary(made.Config, given) + string.Concat(problems.Select(p => $"\n{p}"));
        if (checkOnly) return null;
        if (next.Hash == former?.Hash && next.Hash == state.Factory)
        {
            sentence = "Nothing is new: the device was provisioned with this before.";
            return null;
        }

        try
        {
            store.SaveFactory(next);
            return next;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigControlException($"It cannot be kept in the data folder: {e.Message}", e);
        }
    }

    /// <summary>
    /// What a start does before it chooses a configuration: finishes a factory reset, and installs the secrets of what was kept and not taken up.
    /// Whoever calls holds the data folder. Interrupted anywhere it is done again.
    /// </summary>
    /// <param name="eraseMessages">Of a factory reset: what is buffered goes too.</param>
    /// <exception cref="SecretException">The next start tries again.</exception>
    /// <exception cref="IOException">The same.</exception>
    public static ConfigState TakeUp(ConfigStore store, SecretStore secrets, ConfigState state, Provision? factory, Action eraseMessages)
    {
        if (state.Reset)
        {
            eraseMessages();
            secrets.Clear();
            store.Save(state = new ConfigState());
            store.Save(state); // in both generations: the older one is not to come back
        }

        if (factory is not null && factory.Hash != state.Factory) factory.Install(secrets);
        return state;
    }

    public static bool IsDue(ConfigState state, Provision? factory) => state.Reset || (factory is not null && factory.Hash != state.Factory);

    private static string Sentence(ConfigProblem problem) => problem.Path.StartsWith("secrets/", StringComparison.Ordinal)
        ? problem.Message
        : $"device.json: {(problem.Path == "$" ? "it" : problem.Path)} {problem.Message}";

    private static string Summary(GatewayConfig config, Provision given)
    {
        var name = config.Device.Id is { } id ? $"{id} " : "The device ";
        var broker = config.Mqtt is { } mqtt ? $"reports to {mqtt.Host}:{mqtt.Port}" : "has no broker";
        var channels = config.Channels.Count switch { 0 => "no channel yet", 1 => "1 channel", var n => $"{n} channels" };
        var secrets = given.Secrets.Count == 0 ? "" : $" Secrets taken: {string.Join(", ", given.Secrets.Keys)}.";
        return $"{name}{broker} and has {channels}.{secrets}";
    }
}
