using CsCheck;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Tcp;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Endpoints.Tcp;

/// <summary>The parts of a TCP link that are pure bookkeeping.</summary>
public sealed class LinkPartsTests
{
    [Fact]
    public void Sent_runs_map_every_offset_to_the_last_message_that_ends_within_it() =>
        Gen.Select(
            Gen.Int[0, 40].List[1, 8].List[1, 40], Gen.Int[0, 5], Gen.Bool, Gen.Int[0, 300].List[1, 60]).Sample((runs, overhead, exact, steps) =>
        {
            var sent = new SentRuns(overhead);
            var ends = new List<(long Sequence, long End)>();
            long offset = 0, sequence = 1;
            foreach (var lengths in runs)
            {
                sent.Add(Messages.Run(sequence, [.. lengths.Select(length => new byte[length])]), offset, exact);
                foreach (var length in lengths) ends.Add((sequence++, offset += length + overhead));
                // Encrypted: the messages of a run are acknowledged together.
                if (!exact) for (var i = 1; i <= lengths.Count; i++) ends[^i] = ends[^i] with { End = offset };
                sent.EndLast(offset);
            }

            long acknowledged = 0, reported = 0;
            foreach (var step in steps)
            {
                acknowledged = Math.Min(offset, acknowledged + step);
                var expected = ends.TakeWhile(e => e.End <= acknowledged).LastOrDefault().Sequence;
                var upTo = sent.Acknowledge(acknowledged);
                Assert.Equal(expected > reported ? expected : 0, upTo);
                reported = Math.Max(reported, upTo);
            }

            sent.Acknowledge(offset);
            Assert.True(sent.IsEmpty);
        });

    [Fact]
    public void A_hold_is_never_released_early_and_at_most_a_grain_late()
    {
        var time = new FakeTimeProvider();
        var hold = new HoldQueue(TimeSpan.FromMilliseconds(320), time);
        for (var ms = 1; ms <= 5000; ms++)
        {
            hold.Add(ms);
            var released = hold.Release();
            if (released > 0) Assert.InRange(released, ms - 345, ms - 320);
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.Equal(5000, hold.ReleaseAll());
        Assert.True(hold.IsEmpty);
    }

    [Fact]
    public void A_hold_that_nobody_releases_for_long_still_releases_nothing_early()
    {
        var time = new FakeTimeProvider();
        var hold = new HoldQueue(TimeSpan.FromMilliseconds(320), time);
        for (var ms = 1; ms <= 5000; ms++)
        {
            hold.Add(ms);
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.InRange(hold.Release(), 1, 5000 - 320);
        time.Advance(TimeSpan.FromMilliseconds(340));
        Assert.Equal(5000, hold.Release());
    }

    [Fact]
    public void A_window_that_looks_behind_may_be_asked_for_more_and_more_seldom_and_with_few_bytes()
    {
        var time = new FakeTimeProvider();
        time.Advance(TimeSpan.FromSeconds(1));
        var window = new PeerWindow(time);
        Assert.Equal(0, window.Observe(State(1_000_000)));
        Assert.Equal(700_000, window.Observe(State(300_000, acknowledgedBytes: 700_000)));
        var asked = new List<int>();
        for (var ms = 0; ms < 3000; ms++)
        {
            if (window.MayAsk(8_192, 65_536)) asked.Add(ms);
            window.Observe(State(300_000 - asked.Count * 8_192, acknowledgedBytes: 700_000 + asked.Count * 8_192));
            time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.Equal([0, 1, 3, 7, 15, 31, 63, 127], asked);

        // What it is seen to have read of that may be asked with again, and no more.
        Assert.Equal(745_536, window.Observe(State(254_464, acknowledgedBytes: 765_536)));
        Assert.True(window.MayAsk(20_000, 65_536));
        window.Observe(State(234_464, acknowledgedBytes: 785_536));
        time.Advance(TimeSpan.FromSeconds(10));
        Assert.False(window.MayAsk(20_000, 65_536));
        window.Opened();
        Assert.True(window.MayAsk(8_192, 65_536));
    }

    [Fact]
    public void A_peer_that_reads_all_it_is_asked_with_is_asked_for_ever_until_its_smaller_window_is_believed()
    {
        var time = new FakeTimeProvider();
        time.Advance(TimeSpan.FromSeconds(1));
        var window = new PeerWindow(time);
        window.Observe(State(2_000_000));
        var (asks, acknowledged) = (0, 600_000L);
        while (window.Observe(State(1_400_000, acknowledgedBytes: acknowledged)) > 0)
        {
            if (window.MayAsk(32_000, 65_536)) (asks, acknowledged) = (asks + 1, acknowledged + 32_000);
            time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.True(asks <= 7, "not believed");
        }

        Assert.InRange(asks, 6, 7);
    }

    /// <summary>Linux does not take back what it has offered: the right edge stands until it has arrived, then moves with what is read.</summary>
    [Theory]
    [InlineData(600_000)]
    [InlineData(900_000)]
    public void A_smaller_window_is_believed_once_what_was_offered_beyond_it_has_arrived(long smallerBytes)
    {
        var time = new FakeTimeProvider();
        time.Advance(TimeSpan.FromSeconds(1));
        var window = new PeerWindow(time);
        window.Observe(State(31_000_000));
        var (acknowledged, present, ms) = (600_000L, 30_400_000L, 0);
        for (; window.Observe(State(present, acknowledgedBytes: acknowledged)) > 524_288; ms++)
        {
            Assert.False(window.StandsStill(524_288));
            var bytes = window.AskBytesLeft(524_288);
            if (window.MayAsk(bytes, 524_288))
            {
                acknowledged += bytes;
                present = Math.Max(present - bytes, 31_000_000 - smallerBytes);
            }

            time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.True(ms < 1000, $"not believed: {present} of {31_000_000 - smallerBytes}");
        }
    }

    [Fact]
    public void A_window_that_stands_when_no_more_may_be_asked_with_stands_still_after_five_seconds()
    {
        var time = new FakeTimeProvider();
        time.Advance(TimeSpan.FromSeconds(1));
        var window = new PeerWindow(time);
        window.Observe(State(31_000_000));
        var (acknowledged, ms) = (600_000L, 0);
        for (; !window.StandsStill(524_288); ms++)
        {
            window.Observe(State(31_000_000 - acknowledged, acknowledgedBytes: acknowledged));
            var bytes = window.AskBytesLeft(524_288);
            if (bytes > 0 && window.MayAsk(bytes, 524_288)) acknowledged += bytes;
            time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.True(ms < 10_000);
        }

        Assert.Equal(524_288 + 600_000, acknowledged);
        Assert.InRange(ms, 5_000, 8_000);
    }

    [Fact]
    public void A_peer_that_catches_up_slowly_is_not_taken_for_one_that_has_read_all()
    {
        var time = new FakeTimeProvider();
        time.Advance(TimeSpan.FromSeconds(1));
        var window = new PeerWindow(time);
        window.Observe(State(2_000_000));
        var (present, acknowledged) = (400_000L, 1_600_000L);
        for (var ms = 0; ms < 1000; ms++)
        {
            Assert.Equal(2_000_000 - present, window.Observe(State(present, acknowledgedBytes: acknowledged)));
            if (window.MayAsk(32_000, 65_536)) (present, acknowledged) = (present - 32_000, acknowledged + 32_000);
            time.Advance(TimeSpan.FromMilliseconds(1));
            present = Math.Min(2_000_000, present + 5_000);
        }
    }

    [Fact]
    public void What_arrives_while_the_window_grows_may_be_hidden_but_at_most_half_of_the_growth()
    {
        var window = new PeerWindow(new FakeTimeProvider());
        Assert.Equal(0, window.Observe(State(65_000)));
        Assert.Equal((0L, true), (window.HiddenBytes, window.IsGrowing));

        // A long run: twice its bytes wider. A short one: as much wider, and next to nothing hidden.
        window.Observe(State(165_000, acknowledgedBytes: 50_000));
        Assert.Equal((50_000L, true), (window.HiddenBytes, window.IsGrowing));
        window.Observe(State(295_000, acknowledgedBytes: 51_000));
        Assert.Equal(51_000, window.HiddenBytes);

        // Grown: from here on what is unread shows, and a reader that catches up does not count as growth.
        window.Observe(State(295_000, acknowledgedBytes: 150_000));
        Assert.Equal((51_000L, false), (window.HiddenBytes, window.IsGrowing));
        Assert.Equal(200_000, window.Observe(State(95_000, acknowledgedBytes: 350_000)));
        Assert.Equal(0, window.Observe(State(295_000, acknowledgedBytes: 360_000)));
        Assert.Equal((51_000L, false), (window.HiddenBytes, window.IsGrowing));

        // Looked at too seldom to tell when the growth ended: half of it.
        window.Observe(State(495_000, acknowledgedBytes: 5_000_000));
        Assert.Equal(151_000, window.HiddenBytes);
    }

    [Fact]
    public void A_peer_is_dead_after_25_s_of_silence_with_something_in_flight()
    {
        var time = new FakeTimeProvider();
        var silence = new PeerSilence(time);
        Assert.False(silence.IsDead(inFlight: false, State(1000, sinceSegmentS: 3600)));
        Assert.False(silence.IsDead(inFlight: true, State(1000, sinceSegmentS: 3600)));
        time.Advance(TimeSpan.FromSeconds(25));
        Assert.False(silence.IsDead(inFlight: true, State(1000, sinceSegmentS: 3625)));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.True(silence.IsDead(inFlight: true, State(1000, sinceSegmentS: 3626)));
    }

    [Fact]
    public void A_closed_window_whose_probes_are_answered_is_never_dead_and_unanswered_ones_are_noticed()
    {
        var time = new FakeTimeProvider();
        var silence = new PeerSilence(time);
        silence.IsDead(inFlight: true, State(0));
        foreach (var gap in new[] { 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 120, 120 })
            Assert.False(Silent(gap), $"dead after an answered silence of {gap} s");
        Assert.True(Silent(300));

        bool Silent(double seconds)
        {
            for (var s = 0.1; s < seconds; s += 0.1)
            {
                time.Advance(TimeSpan.FromSeconds(0.1));
                if (silence.IsDead(inFlight: true, State(0, s, probing: true))) return true;
            }

            return false;
        }
    }

    [Fact]
    public async Task A_pacer_keeps_the_rate_whatever_is_asked_for()
    {
        var time = new FakeTimeProvider();
        var pacer = MessagePacer.Create(1000, time)!;
        Assert.Null(MessagePacer.Create(0, time));
        var taken = 0;
        while (taken < 1000)
        {
            var take = pacer.TakeAsync(7, default).AsTask();
            while (!take.IsCompleted) time.Advance(TimeSpan.FromMilliseconds(1));
            taken += await take;
        }

        Assert.InRange(time.GetUtcNow() - time.Start, TimeSpan.FromMilliseconds(970), TimeSpan.FromMilliseconds(1010));
    }

    [Theory]
    [InlineData("06", "15", "1506", "Refused,Accepted")]
    [InlineData("414b", "4e414b", "000041414b4e414b", "Accepted,Refused")]
    [InlineData("0606", "", "06150606", "Accepted")]
    public void Byte_answers_are_found_among_other_bytes(string ack, string nak, string received, string verdicts)
    {
        var reader = new BytesAckReader(Convert.FromHexString(ack), Convert.FromHexString(nak));
        var found = new List<AckVerdict>();
        foreach (var one in Convert.FromHexString(received))
        {
            ReadOnlySpan<byte> bytes = [one];
            while (reader.Next(ref bytes, default) is not AckVerdict.NeedMore and var verdict) found.Add(verdict);
        }

        Assert.Equal(verdicts, string.Join(',', found));
    }

    private static SendState State(long windowBytes, double sinceSegmentS = 0, bool probing = false, long acknowledgedBytes = 0) =>
        new(Established: true, UnacknowledgedBytes: 0, acknowledgedBytes, windowBytes, TimeSpan.FromSeconds(sinceSegmentS), probing);
}
