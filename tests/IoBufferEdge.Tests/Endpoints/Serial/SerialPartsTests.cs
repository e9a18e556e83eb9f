using System.Text;
using CsCheck;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Serial;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>The small parts of a serial line, against small models.</summary>
public sealed class SerialPartsTests
{
    private static readonly SerialSettings Line = SerialSettings.From(new SourceConfig { Type = EndpointType.Serial, BaudRate = 9600 });

    /// <summary>The kernel's marks come off, however reads cut them: bytes, breaks and damage in their order.</summary>
    [Fact]
    public void Marks_come_off_however_they_are_cut() =>
        Gen.Select(Gen.OneOf(Gen.Byte.Select(b => (Kind: 0, Byte: b)), Gen.Const((Kind: 1, Byte: (byte)0)),
                Gen.Byte[1, 255].Select(b => (Kind: 2, Byte: b)), Gen.Const((Kind: 0, Byte: (byte)0xFF))).List[0, 60],
            Gen.Int[1, 20].List[1, 60]).Sample((sent, cuts) =>
        {
            var marked = sent.SelectMany(s => s.Kind switch
            {
                0 => s.Byte == 0xFF ? new byte[] { 0xFF, 0xFF } : [s.Byte],
                1 => [0xFF, 0, 0],
                _ => [0xFF, 0, s.Byte],
            }).ToArray();
            var queue = new ArrivalQueue();
            var unmarker = new MarkedBytes(queue);
            for (int at = 0, cut = 0; at < marked.Length; cut++)
            {
                var length = Math.Min(cuts[cut % cuts.Count], marked.Length - at);
                unmarker.Add(marked.AsSpan(at, length), cut);
                at += length;
            }

            Assert.Equal(
                string.Concat(sent.Select(s => s.Kind == 1 ? "break " : $"{(s.Kind == 2 ? "!" : "")}{s.Byte:X2} ")), Drain(queue));
        });

    [Fact]
    public void Bytes_that_come_together_know_how_many_they_are()
    {
        var queue = new ArrivalQueue();
        new MarkedBytes(queue).Add([1, 0xFF, 0xFF, 0xFF, 0, 7, 3], 5);
        var bytes = new byte[1];
        Assert.Equal(new SerialArrival(1, 5, ArrivalKind.Ordinary, 4), queue.Take(bytes));
        Assert.Equal(new SerialArrival(1, 5, ArrivalKind.Ordinary, 4), queue.Take(bytes));
        Assert.Equal(new SerialArrival(1, 5, ArrivalKind.Damaged, 4), queue.Take(bytes));
        Assert.Equal(new SerialArrival(1, 5, ArrivalKind.Ordinary, 4), queue.Take(bytes));
        Assert.True(queue.Take(bytes).IsNone);
    }

    [Fact]
    public void The_queue_keeps_order_around_its_end() =>
        Gen.Int[1, 512].List[1, 200].Sample(sizes =>
        {
            var queue = new ArrivalQueue();
            var (sent, taken) = (new List<byte>(), new List<byte>());
            var buffer = new byte[300];
            byte next = 0;
            foreach (var size in sizes)
            {
                while (!queue.HasRoomFor(size)) Take();
                var bytes = Enumerable.Range(0, size).Select(_ => next++).ToArray();
                queue.Add(bytes, sent.Count, ArrivalKind.Ordinary, size);
                sent.AddRange(bytes);
                if (size % 3 == 0) Take();
            }

            while (!queue.IsEmpty) Take();
            Assert.Equal(sent, taken);

            void Take() => taken.AddRange(buffer[..queue.Take(buffer).Count]);
        }, iter: 200);

    [Theory]
    [InlineData(1200, 0, 29.167)]
    [InlineData(9600, 0, 3.646)]
    [InlineData(19_200, 0, 1.823)]
    [InlineData(19_201, 0, 1.75)]
    [InlineData(921_600, 0, 1.75)]
    [InlineData(921_600, 1, 1.75)]
    [InlineData(921_600, 5, 5)]
    public void The_gap_is_the_longest_of_its_three_bounds(int baud, double configuredMs, double expectedMs) =>
        Assert.Equal(expectedMs, (Line with { BaudRate = baud }).IdleGap(configuredMs).TotalMilliseconds, 3);

    /// <summary>A UART that hands over eight bytes at a time is no gap; a gap before eight bytes that came together is one.</summary>
    [Theory]
    [InlineData(8, 8.0, false)]
    [InlineData(8, 11.4, false)]
    [InlineData(8, 11.6, true)]
    [InlineData(1, 4.4, false)]
    [InlineData(1, 4.6, true)]
    public void Silence_is_what_the_wire_time_of_the_bytes_leaves(int together, double charactersLater, bool isGap)
    {
        var time = new FakeTimeProvider();
        var clock = new SilenceClock(Line, 0, time);
        clock.Note(new SerialArrival(3, time.GetTimestamp(), ArrivalKind.Ordinary, 3));
        time.Advance(Line.WireTime(1000) / 1000 * charactersLater);
        Assert.Equal(isGap, clock.EndsFrameBefore(new SerialArrival(together, time.GetTimestamp(), ArrivalKind.Ordinary, together)));
    }

    [Fact]
    public void A_break_ends_a_frame_and_silence_does_when_nothing_can_be_on_its_way()
    {
        var time = new FakeTimeProvider();
        var clock = new SilenceClock(Line, 0, time);
        Assert.Equal(Timeout.InfiniteTimeSpan, clock.UntilEnd);
        clock.Note(new SerialArrival(1, time.GetTimestamp(), ArrivalKind.Ordinary, 1));
        Assert.True(clock.EndsFrameBefore(new SerialArrival(0, time.GetTimestamp(), ArrivalKind.Break, 1)));
        Assert.Equal(clock.Gap + Line.WireTime(16), clock.UntilEnd);
        time.Advance(clock.Gap + Line.WireTime(16));
        Assert.Equal(TimeSpan.Zero, clock.UntilEnd);
    }

    /// <summary>Examples of "MODBUS over serial line V1.02" and of widely used calculators.</summary>
    [Theory]
    [InlineData("0207", "4112")]
    [InlineData("010300000002", "C40B")]
    [InlineData("1103006B0003", "7687")]
    public void The_checksum_is_Modbus(string frame, string crc)
    {
        var whole = ModbusRtu.WithCrc(Convert.FromHexString(frame));
        Assert.Equal(frame + crc, Convert.ToHexString(whole));
        Assert.True(ModbusRtu.HasValidCrc(whole) || whole.Length < 4);
        whole[1] ^= 1;
        Assert.False(ModbusRtu.HasValidCrc(whole));
    }

    [Theory]
    [InlineData("010300000002", "0103040001000200", true)]
    [InlineData("010300000002", "018302", true)]
    [InlineData("010300000002", "010306000100020003", false)]
    [InlineData("010300000002", "0203040001000200", false)]
    [InlineData("010300000002", "0104040001000200", false)]
    [InlineData("010100000009", "0101020000", true)]
    [InlineData("010600010003", "010600010003", true)]
    [InlineData("010600010003", "010600020003", false)]
    [InlineData("01100001000102ABCD", "011000010001", true)]
    public void An_answer_fits_its_request(string request, string reply, bool fits) =>
        Assert.Equal(fits, ModbusRtu.Answers(
            ModbusRtu.WithCrc(Convert.FromHexString(reply)), ModbusRtu.WithCrc(Convert.FromHexString(request))));

    private static string Drain(ArrivalQueue queue)
    {
        var text = new StringBuilder();
        var bytes = new byte[7];
        while (queue.Take(bytes) is { IsNone: false } arrival)
        {
            if (arrival.Kind == ArrivalKind.Break) text.Append("break ");
            for (var i = 0; i < arrival.Count; i++) text.Append(arrival.Kind == ArrivalKind.Damaged ? "!" : "").Append($"{bytes[i]:X2} ");
        }

        return text.ToString();
    }
}
