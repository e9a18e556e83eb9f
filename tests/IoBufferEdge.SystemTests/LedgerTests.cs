using IoBufferEdge.Benchmarks.Load;
using Xunit;

namespace IoBufferEdge.SystemTests;

/// <summary>The outside ledger itself: what it must notice, and that sender and receiver without a gateway between them satisfy
/// it.</summary>
public class LedgerTests
{
    [Theory]
    [InlineData("1 2 3", "")]
    [InlineData("1 2 | 2 3", "")]
    [InlineData("1 2 | 1 3", "")]
    [InlineData("1 3", "number 3 came before 2")]
    [InlineData("1 2 2", "came behind")]
    [InlineData("1 2 1", "came behind")]
    [InlineData("1 3 | 2 4", "never read before, came after 3")]
    [InlineData("1 2", "acknowledged up to 3")]
    [InlineData("1 2 3 4", "never sent")]
    public void Notices(string frames, string complaint)
    {
        var ledger = new Ledger();
        ledger.Wrote(3);
        ledger.GotAcknowledgement(3);
        foreach (var connection in frames.Split('|', StringSplitOptions.TrimEntries))
        {
            ledger.Connected();
            foreach (var number in connection.Split(' '))
                ledger.Read(new NumberedFrame(long.Parse(number), 1, Intact: true));
        }

        var verdict = string.Join("; ", ledger.Verdict());
        if (complaint.Length == 0)
            Assert.Empty(verdict.Replace("acknowledged up to 3, read only up to 2", ""));
        else
            Assert.Contains(complaint, verdict);
    }

    [Fact]
    public void A_repeat_by_the_sender_is_no_disorder()
    {
        var ledger = new Ledger();
        ledger.Wrote(2);
        ledger.Connected();
        foreach (var (attempt, number) in ((int, long)[])[(1, 1), (1, 2), (2, 1), (2, 2)])
            ledger.Read(new NumberedFrame(number, attempt, Intact: true));
        Assert.Empty(ledger.Verdict());
        Assert.Equal(2, ledger.Repeats);
    }

    [Fact]
    public void Without_acknowledgements_gaps_are_counted_and_not_judged()
    {
        var ledger = new Ledger { Strict = false };
        ledger.Wrote(9);
        ledger.Connected();
        foreach (var number in (long[])[1, 2, 5, 9])
            ledger.Read(new NumberedFrame(number, 1, Intact: true));
        Assert.Empty(ledger.Verdict());
        Assert.Equal(5, ledger.Lost);
    }

    [Theory]
    [InlineData(MessageFraming.Line)]
    [InlineData(MessageFraming.Mllp)]
    public void A_changed_byte_is_noticed(MessageFraming framing)
    {
        var bytes = new byte[400];
        var length = NumberedMessage.Write(bytes, 42, 7, 200, framing);
        Assert.Equal(new NumberedFrame(42, 7, Intact: true), NumberedMessage.Parse(bytes.AsSpan(0, length), framing));
        bytes[length - 20] ^= 1;
        Assert.False(NumberedMessage.Parse(bytes.AsSpan(0, length), framing).Intact);
    }

    [Fact]
    public void A_plain_stream_arrives_whole_and_an_orderly_end_loses_nothing()
    {
        var ledger = new Ledger();
        using var receiver = new Receiver(ledger);
        receiver.Up();
        using var sender = new NumberedSender(ledger, new SenderOptions
        {
            Kind = SenderKind.Plain, Port = receiver.Port, MessageBytes = 1024, SendBufferBytes = 0, LastNumber = 20_000,
        });
        Wait.Until(() => ledger.HighestRead == 20_000, 20, "20,000 messages", ledger.ToString);
        Assert.Empty(ledger.Verdict());
        Assert.Equal(0, ledger.Repeats);
    }

    [Fact]
    public void A_reset_with_unread_bytes_costs_a_plain_stream_messages()
    {
        var ledger = new Ledger { Strict = false };
        using var receiver = new Receiver(ledger);
        receiver.Up();
        using var sender = new NumberedSender(ledger, new SenderOptions { Kind = SenderKind.Plain, Port = receiver.Port });
        Wait.Until(() => ledger.HighestRead > 1000, 10, "the first 1,000 messages");
        receiver.Pause();
        Wait.UntilQuiet(() => ledger.Sent, 0.2, 10);
        receiver.Break(ConnectionEnd.Reset);
        Wait.Until(() => ledger.Gaps.Length > 0, 10, "the gap that the reset left", ledger.ToString);
    }

    [Theory]
    [InlineData(SenderKind.Bytes)]
    [InlineData(SenderKind.Mllp)]
    public void Acknowledgements_are_counted_and_the_rest_is_repeated(SenderKind kind)
    {
        var ledger = new Ledger();
        using var receiver = new Receiver(ledger, new ReceiverOptions
        {
            Framing = kind == SenderKind.Mllp ? MessageFraming.Mllp : MessageFraming.Line,
            Answer = kind == SenderKind.Mllp ? ReceiverAnswer.Mllp : ReceiverAnswer.Bytes,
        });
        receiver.Up();
        using var sender = new NumberedSender(ledger, new SenderOptions { Kind = kind, Port = receiver.Port });
        Wait.Until(() => ledger.Acknowledged > 500, 10, "500 acknowledgements", ledger.ToString);
        receiver.Break(ConnectionEnd.Reset);
        var before = ledger.Acknowledged;
        Wait.Until(() => ledger.Acknowledged > before + 500, 10, "500 acknowledgements more", ledger.ToString);
        sender.Finish(10);
        Assert.Empty(ledger.Verdict());
        Assert.Equal(ledger.Sent, ledger.HighestRead);
    }

    [Fact]
    public void Datagrams_may_come_in_any_order()
    {
        var ledger = new Ledger { Unordered = true, Strict = false };
        ledger.Connected();
        foreach (var number in (long[])[2, 1, 4])
            ledger.Read(new NumberedFrame(number, 1, Intact: true));
        Assert.Equal(1, ledger.Lost);
        Assert.Empty(ledger.Violations);
    }
}
