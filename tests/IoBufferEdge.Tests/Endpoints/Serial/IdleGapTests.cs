using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>Frames that end with silence, timed on a pseudo terminal by a sender that keeps (and checks) its own time.</summary>
public sealed partial class IdleGapTests(ITestOutputHelper output)
{
    private const int Baud = 19_200;
    private const int FrameBytes = 8;

    /// <summary>
    /// Every byte at the end of its wire time, frames 1 ms further apart than the limit. Judged are the frames that the sender wrote and the
    /// system brought on time: on a machine that others keep busy, the kernel's worker between the two ends of a pseudo terminal is late
    /// by more than the millisecond that separates right from wrong. All that are judged must be right; how many of all were right, and
    /// how late bytes came, is printed. <c>IOBUFFER_IDLE_GAP_FRAMES=10000</c> is the long form.
    /// </summary>
    [Fact]
    public async Task Frames_a_millisecond_further_apart_than_the_limit_are_cut_right()
    {
        var frames = int.Parse(Environment.GetEnvironmentVariable("IOBUFFER_IDLE_GAP_FRAMES") ?? "500", CultureInfo.InvariantCulture);
        using var pty = new Pty();
        var arrivedAt = new List<long>(frames * FrameBytes);
        var rig = new SerialRig(arrival => arrivedAt.AddRange(Enumerable.Repeat(arrival.At, arrival.Count)));
        await using var run = await rig.StartAsync(SerialRig.Source(pty.Path) with { BaudRate = Baud });
        var settings = SerialSettings.From(SerialRig.Source(pty.Path) with { BaudRate = Baud });
        var sender = new PacedSender(pty, settings, frames, TimeSpan.FromMilliseconds(1));
        await sender.RunAsync();
        await Wait.UntilAsync(() => run.Sink.Messages.Sum(m => m.Payload.Length) == frames * FrameBytes);

        var received = run.Texts.ToHashSet(StringComparer.Ordinal);
        var lateMs = arrivedAt.Select((at, i) => TimeProvider.System.GetElapsedTime(sender.WrittenAt[i], at).TotalMilliseconds).ToList();
        var sent = Enumerable.Range(0, frames).Where(i => sender.WasOnTime(i)).ToList();
        var judged = sent.Where(i => Neighbours(i, frames).All(at => lateMs[at] < 0.5)).ToList();
        var right = sent.Count(i => received.Contains(PacedSender.Frame(i)));
        var wrong = judged.Where(i => !received.Contains(PacedSender.Frame(i))).ToList();
        var sorted = lateMs.Order().ToList();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{right} of {sent.Count} frames sent on time were cut right ({frames} sent), {judged.Count - wrong.Count} of {judged.Count} that also "
            + $"came on time; bytes late by {sorted[sorted.Count / 2]:0.000} ms (median), {sorted[sorted.Count * 99 / 100]:0.000} ms (p99), "
            + $"{sorted[^1]:0.0} ms at most; {run.Source.Status.Detail}"));
        Assert.Empty(wrong);
        Assert.True(judged.Count > frames / 10, $"{judged.Count} of {frames} frames came on time: nothing can be said.");
    }

    /// <summary>A frame's bytes, the one before it and the one behind it.</summary>
    private static IEnumerable<int> Neighbours(int frame, int frames) =>
        Enumerable.Range(frame * FrameBytes - 1, FrameBytes + 2).Where(at => at >= 0 && at < frames * FrameBytes);

    [Fact]
    public async Task A_frame_ends_without_a_successor()
    {
        using var pty = new Pty();
        await using var run = await new SerialRig().StartAsync(SerialRig.Source(pty.Path) with { BaudRate = Baud });
        await pty.WriteAsync("last");
        await run.CountAsync(1);
        Assert.Equal([("last", MessageFlags.None)], run.Sink.Messages.Select(m => (m.Text, m.Flags)));
    }

    [Theory]
    [InlineData(OnOversize.Split, "aaaa~|bb~|cc")]
    [InlineData(OnOversize.Reject, "cc")]
    public async Task A_frame_longer_than_allowed_is_cut_or_dropped_up_to_its_silence(OnOversize onOversize, string expected)
    {
        using var pty = new Pty();
        await using var run = await new SerialRig().StartAsync(
            SerialRig.Source(pty.Path) with { MaxMessageBytes = 4, OnOversize = onOversize });
        await pty.WriteAsync("aaaabb");
        await Task.Delay(100);
        await pty.WriteAsync("cc");
        await run.Sink.UntilAsync(sink => sink.Messages.Any(m => m.Text == "cc"));
        Assert.Equal(expected, string.Join('|', run.Sink.Messages.Select(m => m.Text + (m.Flags == MessageFlags.Split ? "~" : ""))));
        Assert.Equal(onOversize == OnOversize.Reject ? 1 : 0, run.Counter("oversize"));
    }

    /// <summary>Writes numbered frames byte by byte from a thread of its own, as a UART at that baud rate would bring them.</summary>
    private sealed partial class PacedSender(Pty pty, SerialSettings settings, int frames, TimeSpan beyondLimit)
    {
        private readonly TimeSpan _limit = settings.IdleGap(0);
        private readonly TimeSpan _character = settings.WireTime(1);
        private readonly bool[] _late = new bool[frames + 1];

        public List<long> WrittenAt { get; } = new(frames * FrameBytes);

        public static string Frame(int number) => number.ToString("D8", CultureInfo.InvariantCulture);

        /// <summary>Neither the frame's own bytes nor the gaps around it were off by what decides.</summary>
        public bool WasOnTime(int frame) => !_late[frame] && !_late[frame + 1];

        public Task RunAsync()
        {
            var done = new TaskCompletionSource();
            new Thread(() =>
            {
                LinuxThreads.TryBecomeRealTime(20);
                Send();
                done.SetResult();
            }) { IsBackground = true }.Start();
            return done.Task;
        }

        private void Send()
        {
            var time = TimeProvider.System;
            Span<byte> one = stackalloc byte[1];
            var due = time.GetTimestamp();
            var previous = due;
            for (var frame = 0; frame < frames; frame++)
            {
                var bytes = Encoding.ASCII.GetBytes(Frame(frame));
                for (var i = 0; i < bytes.Length; i++)
                {
                    due = Math.Max(due, previous) + Ticks(i == 0 ? _limit + beyondLimit + _character : _character);
                    SleepUntil(time, due);
                    one[0] = bytes[i];
                    var before = time.GetTimestamp();
                    WrittenAt.Add(before);
                    SerialCalls.Write(pty.Master, one);
                    var after = time.GetTimestamp();
                    // A byte in a frame must not come so late that it ends the frame; the gap must not have shrunk under its margin.
                    var longest = time.GetElapsedTime(previous, after);
                    if (i > 0 && longest > _limit + _character - TimeSpan.FromMilliseconds(0.3)) _late[frame] = true;
                    if (i == 0 && time.GetElapsedTime(previous, before) < _limit + beyondLimit + _character - TimeSpan.FromMilliseconds(0.2))
                        _late[frame] = true;
                    previous = after;
                }
            }
        }

        private static void SleepUntil(TimeProvider time, long due)
        {
            var left = time.GetElapsedTime(time.GetTimestamp(), due) - TimeSpan.FromMilliseconds(0.1);
            if (left > TimeSpan.Zero)
            {
                var span = new Timespec { Seconds = 0, Nanoseconds = (long)left.TotalNanoseconds };
                nanosleep(ref span, 0);
            }

            while (time.GetTimestamp() < due) Thread.SpinWait(10);
        }

        private static long Ticks(TimeSpan span) => (long)(span.TotalSeconds * TimeProvider.System.TimestampFrequency);

        [LibraryImport("libc")]
        private static partial int nanosleep(ref Timespec duration, nint remaining);

        private struct Timespec
        {
            public long Seconds;
            public long Nanoseconds;
        }
    }
}
