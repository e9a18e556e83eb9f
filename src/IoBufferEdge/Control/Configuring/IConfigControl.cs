using System.Text.Json;
using System.Text.Json.Serialization;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Control.Configuring;

/// <summary>
/// How a running gateway comes by another configuration, whoever asks: a broker, the command line, the configuration file. Its twin, for
/// tests of those who ask, notes what it was asked.
/// </summary>
public interface IConfigControl
{
    /// <summary>What became of the configuration wished for last; published retained as <c>config/reported</c>.</summary>
    ConfigReport Report { get; }

    /// <summary>How long is left to confirm the configuration that runs; null: it needs no confirmation.</summary>
    TimeSpan? ConfirmWithin { get; }

    /// <summary>From now on <paramref name="told"/> is called after <see cref="Report"/> has changed, on the thread that changed it: take note
    /// and return.</summary>
    void OnReport(Action told);

    /// <summary>
    /// A message of <c>config/desired</c>: <c>{revision, config | patch, confirm_timeout_s}</c>. Completes when the message is taken, not when
    /// it is applied: the report says what became of it. Of several that come at once the newest counts. Never throws, whatever the bytes are.
    /// </summary>
    Task OfferAsync(ReadOnlyMemory<byte> desiredPayload);

    /// <summary>Keeps the configuration that waits for its confirmation.</summary>
    /// <exception cref="ConfigControlException">Nothing waits, or it cannot be written: one sentence.</exception>
    Task<ConfigReport> ConfirmAsync();

    /// <summary>Goes back from the configuration that waits for its confirmation; where none waits, to the one that was kept before.</summary>
    /// <exception cref="ConfigControlException">There is nothing to go back to, or it cannot be applied: one sentence.</exception>
    Task<ConfigReport> RollbackAsync();
}

/// <summary>What was asked of the configuration cannot be done. The message is one sentence for who asked.</summary>
public sealed class ConfigControlException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>How far the configuration wished for last has come.</summary>
[JsonConverter(typeof(UpperCaseConverter<ConfigStatus>))]
public enum ConfigStatus
{
    /// <summary>It runs and waits for its confirmation.</summary>
    Applying,

    /// <summary>It runs and is kept.</summary>
    Applied,

    /// <summary>It is wrong, or the gateway could not go over to it: the former one runs.</summary>
    Failed,

    /// <summary>It ran and was not confirmed: the last good one runs again.</summary>
    RolledBack,
}

/// <summary>What became of a configuration: the content of <c>config/reported</c>. It never holds a secret, nor what a file contains.</summary>
public sealed record ConfigReport
{
    /// <summary>As the wish names itself; null where it did not come over MQTT.</summary>
    public string? Revision { get; init; }

    /// <summary>Lowercase hex hash (XXH128) of the whole document that was wished for; null where it could not be read, or is built in.</summary>
    public string? Hash { get; init; }

    public ConfigStatus Status { get; init; } = ConfigStatus.Applied;

    /// <summary>Why it failed or was rolled back; with <see cref="ConfigStatus.Applied"/> what may surprise.</summary>
    public IReadOnlyList<ConfigProblem> Errors { get; init; } = [];

    /// <summary>Hash of the configuration that is kept: the one to go back to.</summary>
    public string? LastGoodHash { get; init; }
}

/// <summary>APPLYING, APPLIED, FAILED, ROLLED_BACK.</summary>
internal sealed class UpperCaseConverter<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.SnakeCaseUpper, allowIntegerValues: false)
    where T : struct, Enum;
