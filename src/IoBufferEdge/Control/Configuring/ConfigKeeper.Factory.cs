using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Control.Configuring;

/// <summary>What an installer gives a device that runs, and the way back to it.</summary>
public sealed partial class ConfigKeeper
{
    /// <summary>
    /// Takes up what an installer gives: all of it, or nothing where anything is wrong. From the moment it is kept on, a power cut leaves it for
    /// the next start to take up.
    /// </summary>
    /// <param name="checkOnly">Nothing is taken.</param>
    /// <exception cref="ConfigControlException">It is wrong, a sentence a line, or cannot be kept.</exception>
    public async Task<string> ProvisionAsync(Provision given, bool checkOnly)
    {
        var sentence = "";
        await AloneAsync(async () =>
        {
            var present = _good.Stored.Origin == ConfigOrigin.BuiltIn ? Provisioning.Nothing : _good.Stored.Document;
            if (Provisioning.Keep(_store, _source.Secrets, _state, given, present, checkOnly, out sentence) is not { } kept) return;
            try
            {
                kept.Install(_source.Secrets);
            }
            catch (SecretException e)
            {
                throw new ConfigControlException($"{e.Message} All of it is tried again at the next start.", e);
            }

            var problems = new List<ConfigProblem>();
            var next = _source.Read(kept, present, _good.Stored.FileHash, problems) ?? throw new ConfigControlException(string.Join("; ", problems));
            await ReplaceAsync(next, new WishOutcome(_state.Last?.Message, null, next.Hash, ConfigStatus.Applied, problems), kept.Hash);
        });
        return sentence;
    }

    /// <summary>From here on the next start makes the device as provisioning left it; end the process then.</summary>
    /// <exception cref="ConfigControlException">It cannot be written: nothing will happen.</exception>
    public Task ResetAsync() => AloneAsync(() =>
        Keep(new ConfigState(Reset: true)) is { } unkept ? throw new ConfigControlException($"The factory reset {unkept}") : Task.CompletedTask);
}
