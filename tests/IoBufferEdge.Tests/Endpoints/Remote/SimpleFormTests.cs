using System.Text;
using IoBufferEdge.Endpoints.Remote;
using static IoBufferEdge.Tests.Endpoints.Remote.IntakeRig;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>One message, one request, its own key: once, however often it is sent.</summary>
public sealed class SimpleFormTests
{
    [Fact]
    public void A_message_is_taken_once_under_its_key() => Run(async rig =>
    {
        var replies = await Task.WhenAll(rig.PostAsync("a", "k1"), rig.PostAsync("a", "k1"), rig.PostAsync("b", "k2"), rig.PostAsync("a", "k1"));
        Assert.Equal([(200, 1L, false), (200, 1L, true), (200, 2L, false), (200, 1L, true)], replies.Select(r => (r.Status, r.Sequence, r.IsRepeated)));
        Assert.Equal(["a", "b"], rig.Texts);
        var stamp = rig.Sink.Messages[0].Stamp;
        Assert.Equal((null, MessageIdentity.None, null), (stamp.Sender, stamp.Identity, stamp.Origin.Route));
        Assert.Equal(rig.Scheduler.World.Time.GetUtcNow(), DateTimeOffset.UnixEpoch.AddMicroseconds(stamp.Origin.ReceivedUnixUs));
        Assert.Equal((2L, 2L), (rig.Counter("posts"), rig.Counter("repeated_posts")));
    });

    [Fact]
    public void It_is_answered_when_it_is_durable_also_when_it_is_repeated() => Run(
        async rig =>
        {
            Task<RemoteReply>[] posts = [rig.PostAsync("a", "k"), rig.PostAsync("a", "k")];
            await rig.SettleAsync();
            Assert.DoesNotContain(true, posts.Select(task => task.IsCompleted));
            rig.Sink.Secure(1);
            Assert.Equal([false, true], (await Task.WhenAll(posts)).Select(reply => reply.IsRepeated));
        },
        securesAtOnce: false);

    [Fact]
    public void Without_room_it_is_asked_for_again_and_taken_once_then() => Run(async rig =>
    {
        rig.Sink.SetRoom(0);
        Task<RemoteReply>[] posts = [rig.PostAsync("a", "k"), rig.PostAsync("a", "k")];
        Assert.Equal(RemoteIntake.PatienceMax, await rig.TimeOfAsync(Task.WhenAll(posts)));
        foreach (var post in posts) Assert.Equal((503, RemoteIntake.RetryAfter), ((await post).Status, (await post).RetryAfter));
        posts = [rig.PostAsync("a", "k"), rig.PostAsync("a", "k")];
        await rig.SettleAsync();
        rig.Sink.SetRoom(100);
        Assert.Equal([false, true], (await Task.WhenAll(posts)).Select(reply => reply.IsRepeated).Order());
        Assert.Equal(["a"], rig.Texts);
    });

    [Theory]
    [InlineData("")]
    [InlineData("with space")]
    [InlineData("t\tb")]
    [InlineData("\u00fc")]
    public void A_key_is_printable_ascii(string key) => Run(async rig =>
    {
        Assert.Equal(400, (await rig.PostAsync("a", key)).Status);
        Assert.Equal(400, (await rig.PostAsync("a", new string('k', 129))).Status);
        Assert.Equal(200, (await rig.PostAsync("a", new string('~', 128))).Status);
        Assert.Equal(400, (await rig.PostAsync("", "k")).Status);
    });

    [Fact]
    public void A_message_that_is_too_long_is_refused() => Run(
        async rig =>
        {
            Assert.Equal(413, (await rig.PostAsync("abcd", "k")).Status);
            Assert.Equal(200, (await rig.PostAsync("abc", "k")).Status);
        },
        maxMessageBytes: 3);

    /// <summary>Both forms into one channel: neither sees the other's.</summary>
    [Fact]
    public void Keys_and_marks_do_not_meet() => Run(async rig =>
    {
        await rig.PostAsync("a", "k");
        Assert.Equal(200, (await rig.SendAsync(TestBatch.Of(TestBatch.LifeA, MessageIdentity.None, 1))).Status);
        Assert.True((await rig.PostAsync("a", "k")).IsRepeated);
        Assert.Equal(["a", "a1:1"], rig.Texts);
        Assert.Equal("a", Encoding.Latin1.GetString(rig.Sink.Messages[0].Payload));
    });
}
