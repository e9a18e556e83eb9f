using System.Globalization;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// <c>iobuffer serial rs485-test</c>: sends frames over a port as the gateway does and says how well its transmitter was switched: how
/// late it was off behind the last bit, whether the thread that does it ran before all others, and where the receiver hears what is sent,
/// whether it heard it whole. Frames are 55 AA 55 AA … and a number: no device's request.
/// </summary>
public sealed class Rs485Test(SerialLines lines, SerialSettings settings, TimeProvider time)
{
    private int _echoed;
    private int _wrong;
    private string? _firstWrong;

    /// <summary>Sends so many frames and writes what came of it. True: nothing was late and nothing was heard otherwise than sent.</summary>
    /// <exception cref="EndpointException">The port cannot be used as asked.</exception>
    /// <exception cref="IOException">It is not there, went meanwhile, or does not send.</exception>
    public async Task<bool> RunAsync(int frames, int bytes, TextWriter output, CancellationToken cancel)
    {
        var line = lines.Take(settings);
        try
        {
            if (!line.IsOpen) throw new IOException($"{settings.Port} is not there.");
            for (var number = 1; number <= frames; number++) await SendAsync(line, number, bytes, cancel);
            output.WriteLine(line.Detail);
            output.WriteLine(Say($"{frames} frames of {bytes} bytes sent, {settings.WireTime(bytes).TotalMilliseconds:0.##} ms on the wire each"));
            var onTime = SayLateness(line, output);
            output.WriteLine(SayEcho(frames));
            return onTime && _wrong == 0;
        }
        finally
        {
            lines.Return(line);
        }
    }

    private async Task SendAsync(SerialLine line, int number, int bytes, CancellationToken cancel)
    {
        var frame = new byte[bytes];
        for (var i = 0; i < bytes; i++) frame[i] = (byte)(i % 2 == 0 ? 0x55 : 0xAA);
        frame[^1] = (byte)number;
        using var turn = await line.TakeTurnAsync(this, settings.IdleGap(0), cancel);
        while (!turn.TryRead(new byte[512]).IsNone)
        {
            // What came before is no echo.
        }

        await turn.SendAsync(frame, cancel);
        await Task.Delay(settings.IdleGap(0) + settings.DeliverySlack, time, cancel);
        Compare(turn, number, frame);
    }

    private void Compare(SerialTurn turn, int number, byte[] frame)
    {
        var heard = new List<byte>();
        var some = new byte[512];
        while (turn.TryRead(some) is { IsNone: false } arrival) heard.AddRange(some[..arrival.Count]);
        if (heard.Count == 0) return;
        _echoed++;
        var same = heard.Zip(frame).TakeWhile(pair => pair.First == pair.Second).Count();
        if (same == frame.Length && heard.Count == frame.Length) return;
        _wrong++;
        _firstWrong ??= Say($"frame {number}, from byte {same + 1} of {frame.Length} on; {heard.Count} bytes came");
    }

    private bool SayLateness(SerialLine line, TextWriter output)
    {
        if (line.Port.Driven is not { } driven)
        {
            output.WriteLine("transmitter: not switched from here, so how late it is can't be told");
            return true;
        }

        var figures = driven.Lateness.ToDictionary(f => f.Key, f => f.Value, StringComparer.Ordinal);
        var late = figures["rs485_released_late"];
        output.WriteLine(Say($"off after the last bit: {figures["rs485_release_p50_us"]} us (half of all), {figures["rs485_release_p99_us"]} us (99 of 100), ")
            + Say($"{figures["rs485_release_max_us"]} us (worst)"));
        output.WriteLine(Say($"late: {late} of {figures["rs485_frames"]} frames (allowed are {settings.IdleGap(0).TotalMicroseconds / 2:0} us, half of t3.5)"));
        output.WriteLine(driven.IsRealTime
            ? "real-time thread: yes"
            : "real-time thread: not permitted (LimitRTPRIO in the unit, or ulimit -r, must be 50 or more)");
        return late == 0;
    }

    private string SayEcho(int frames) => (_echoed, _wrong) switch
    {
        (0, _) => "echo: none (the receiver is off while this port sends, or is not connected)",
        (_, 0) => Say($"echo: {_echoed} of {frames} frames, all as they were sent"),
        _ => Say($"echo: {_wrong} of {_echoed} frames came back otherwise than sent; the first was {_firstWrong}"),
    };

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
