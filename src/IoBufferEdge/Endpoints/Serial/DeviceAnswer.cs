using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Tcp;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Waits for a device's answer to a message (<c>confirm: bytes</c>). Other bytes that come meanwhile are the source's, where one shares the
/// line: they are held until the answer is told from them, and handed back with their arrival times.
/// </summary>
internal sealed class DeviceAnswer(ConfirmConfig confirm, SerialLine line, AsyncSignal changed, TimeProvider time)
{
    /// <summary>A device that says so much is not answering. Twice as much fits what the line takes back.</summary>
    private const int HeldMax = 512;

    private readonly TimeSpan _timeout = TimeSpan.FromMilliseconds(confirm.TimeoutMs);
    private readonly List<(byte Value, SerialArrival Arrival)> _held = [];
    private readonly byte[] _one = new byte[1];

    /// <summary>Null: it did not come in time.</summary>
    /// <exception cref="IOException">The port has gone.</exception>
    public async ValueTask<AckVerdict?> WaitAsync(SerialTurn turn, CancellationToken cancel)
    {
        await using var stopped = cancel.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), changed);
        var answers = AckReader.Create(confirm)!;
        var answerBytes = 0;
        _held.Clear();
        try
        {
            while (true)
            {
                cancel.ThrowIfCancellationRequested();
                var arrival = _held.Count < HeldMax ? turn.TryRead(_one) : default;
                if (!arrival.IsNone)
                {
                    _held.Add((_one[0], arrival));
                    if (arrival.Count == 0 || Judge(answers) is not { } verdict) continue;
                    answerBytes = (verdict == AckVerdict.Accepted ? confirm.AckHex : confirm.NakHex)!.Length / 2;
                    return verdict;
                }

                if (!line.IsOpen) throw new IOException($"{line.Settings.Port} has gone.");
                var left = _timeout - time.GetElapsedTime(turn.SentAt);
                if (left <= TimeSpan.Zero) return null;
                await changed.WaitAsync(left);
            }
        }
        finally
        {
            foreach (var (value, arrival) in _held[..^answerBytes]) line.HandBack(value, arrival);
        }
    }

    /// <summary>What is there before the message was sent is no answer to it.</summary>
    public void HandBackEarlier(SerialTurn turn)
    {
        for (var count = 0; count < HeldMax && turn.TryRead(_one) is { IsNone: false } arrival; count++) line.HandBack(_one[0], arrival);
    }

    private AckVerdict? Judge(AckReader answers)
    {
        ReadOnlySpan<byte> bytes = _one;
        return answers.Next(ref bytes, default) is var verdict and (AckVerdict.Accepted or AckVerdict.Refused) ? verdict : null;
    }
}
