using IoBufferEdge.Endpoints.Serial;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// What a device on a polled bus answers, as it came and with a checksum that fits (the harness puts one in): whatever it is, it is judged,
/// and what is taken for an answer comes from the device that was asked.
/// </summary>
internal sealed class ModbusTarget : FuzzTarget
{
    /// <summary>Each function that is looked into, and one that is not.</summary>
    private static readonly byte[][] Requests =
        [.. ((string[])["010100000009", "010300000002", "01050001FF00", "010600010003", "01100001000102000A", "0108"])
            .Select(hex => ModbusRtu.WithCrc(Convert.FromHexString(hex)))];

    public override string Name => "modbus";

    public override IReadOnlyList<byte[]> Words { get; } = [.. Requests, [1, 3, 4], [1, 1, 2], [1, 5], [1, 6], [1, 0x83, 2], [0]];

    protected override int InputBytesMax => 256;

    public override void Judge(byte[] input, Behaviours seen)
    {
        var sealedInput = ModbusRtu.WithCrc(input);
        Assert.Equal(input.Length >= 2, ModbusRtu.HasValidCrc(sealedInput));
        foreach (var reply in (byte[][])[input, sealedInput])
        {
            foreach (var request in Requests)
            {
                var answers = ModbusRtu.Answers(reply, request);
                if (answers) Assert.Equal((request[0], request[1]), (reply[0], (byte)(reply[1] & 0x7F)));
                seen.Saw(answers, request[1], ModbusRtu.HasValidCrc(reply));
            }
        }

        sealedInput[input.Length / 2] ^= 0x10;
        Assert.False(ModbusRtu.HasValidCrc(sealedInput), "A flipped bit passes the checksum.");
    }
}

/// <summary>The marks that the kernel puts into what is read from a serial line: where the reads cut them changes nothing.</summary>
internal sealed class SerialMarksTarget : FuzzTarget
{
    private const int ReadBytesMax = 256;

    public override string Name => "serial-marks";

    public override IReadOnlyList<byte[]> Words { get; } = [[0xFF, 0xFF], [0xFF, 0, 0], [0xFF, 0, (byte)'x'], [0xFF, 0, 0xFF], [0xFF], [0]];

    public override void Judge(byte[] input, Behaviours seen)
    {
        var expected = Plainly(input);
        foreach (var cut in (int[])[1, 2, 7, ReadBytesMax])
        {
            var found = Read(input, cut);
            if (!found.SequenceEqual(expected)) Assert.Fail($"reads of {cut}: {string.Join(' ', found)} instead of {string.Join(' ', expected)}");
        }

        foreach (var (kind, value) in expected) seen.Saw(kind, value is 0 or 0xFF, Math.Min(expected.Count, 4));
    }

    private static List<(ArrivalKind Kind, byte Value)> Read(byte[] input, int cut)
    {
        var found = new List<(ArrivalKind, byte)>();
        var queue = new ArrivalQueue();
        var marked = new MarkedBytes(queue);
        var buffer = new byte[ReadBytesMax + 2];
        for (var at = 0; at < input.Length; at += cut)
        {
            marked.Add(input.AsSpan(at, Math.Min(cut, input.Length - at)), at);
            while (queue.Take(buffer) is { IsNone: false } arrival)
            {
                if (arrival.Kind == ArrivalKind.Break) found.Add((ArrivalKind.Break, 0));
                foreach (var value in buffer.AsSpan(0, arrival.Count)) found.Add((arrival.Kind, value));
            }
        }

        Assert.True(queue.IsEmpty);
        Assert.Equal(found.Count(f => f.Item1 == ArrivalKind.Break), marked.Breaks);
        Assert.Equal(found.Count(f => f.Item1 == ArrivalKind.Damaged), marked.DamagedBytes);
        return found;
    }

    /// <summary>A mark that the end cuts off is still to come.</summary>
    private static List<(ArrivalKind Kind, byte Value)> Plainly(byte[] input)
    {
        var found = new List<(ArrivalKind, byte)>();
        for (var at = 0; at < input.Length;)
        {
            var rest = input.AsSpan(at);
            if (rest is [0xFF] or [0xFF, 0]) break;
            at += rest is [0xFF, 0, ..] ? 3 : rest is [0xFF, ..] ? 2 : 1;
            if (rest is [0xFF, 0, 0, ..]) found.Add((ArrivalKind.Break, 0));
            else if (rest is [0xFF, 0, var damaged, ..]) found.Add((ArrivalKind.Damaged, damaged));
            else if (rest is [0xFF, not 0xFF, ..]) found.AddRange([(ArrivalKind.Ordinary, 0xFF), (ArrivalKind.Ordinary, rest[1])]);
            else found.Add((ArrivalKind.Ordinary, rest[0]));
        }

        return found;
    }
}
