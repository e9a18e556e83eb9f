using System.Net;
using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Remote;
using Microsoft.Extensions.Time.Testing;

namespace IoBufferEdge.Tests.Endpoints.Remote;

/// <summary>Who gets in, how often a password is derived for that, and how long guessing takes.</summary>
public sealed class RemoteAccessTests : IDisposable
{
    private static readonly IPAddress Peer = IPAddress.Parse("192.0.2.1");

    private readonly FakeTimeProvider _time = new();
    private readonly RemoteAccess _access;
    private readonly AuthConfig _auth = Auth("correct horse");

    public RemoteAccessTests() => _access = new(_time);

    public void Dispose() => _access.Dispose();

    [Fact]
    public async Task A_password_is_derived_once_for_a_client()
    {
        for (var i = 0; i < 5; i++) Assert.Equal(Access.Granted, await JudgeAsync("relay:correct horse"));
        Assert.Equal(1, _access.Derivations);
        Assert.Equal(Access.Refused, await JudgeAsync("relay:correct horsf"));
        Assert.Equal(Access.Granted, await JudgeAsync("relay:correct horse"));
        Assert.Equal(2, _access.Derivations);
    }

    [Fact]
    public async Task Requests_that_come_at_once_share_a_derivation()
    {
        var judged = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => JudgeAsync("relay:correct horse"))));
        Assert.All(judged, j => Assert.Equal(Access.Granted, j));
        Assert.Equal(1, _access.Derivations);
    }

    [Fact]
    public async Task What_was_right_counts_for_its_channel_and_hash_alone()
    {
        Assert.Equal(Access.Granted, await JudgeAsync("relay:correct horse"));
        Assert.Equal(Access.Refused, await JudgeAsync("relay:correct horse", Auth("another horse")));
        Assert.Equal(Access.Refused, await JudgeAsync("relay:correct horse", _auth with { Username = "other" }));
        Assert.Equal(Access.Refused, await JudgeAsync("relay:correct horse", _auth with { PasswordHash = null }));
        Assert.Equal(Access.Refused, (await _access.JudgeAsync("b", Auth("another horse"), Peer, Basic("relay:correct horse"), default)).Access);
    }

    /// <summary>A wrong name must not be told from a wrong password by the time that it takes.</summary>
    [Fact]
    public async Task A_wrong_name_costs_a_derivation_too()
    {
        Assert.Equal(Access.Refused, await JudgeAsync("nobody:correct horse"));
        Assert.Equal(Access.Refused, await JudgeAsync("relay:nonsense"));
        Assert.Equal(2, _access.Derivations);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("Basic")]
    [InlineData("Basic ???")]
    [InlineData("Basic cmVsYXk=")]
    [InlineData("Bearer cmVsYXk6Y29ycmVjdCBob3JzZQ==")]
    public async Task What_is_no_password_costs_nothing(string? header)
    {
        for (var i = 0; i < 20; i++) Assert.Equal(Access.Refused, (await _access.JudgeAsync("a", _auth, Peer, header, default)).Access);
        Assert.Equal((0, 0), (_access.Derivations, _access.Addresses));
    }

    [Fact]
    public async Task Ten_failures_are_free_and_then_waits_double_up_to_a_minute()
    {
        var auth = Auth("quick one");
        for (var i = 0; i < RemoteAccess.FreeFailures; i++) Assert.Equal(Access.Refused, await JudgeAsync($"relay:{i}", auth));
        var waits = new List<double>();
        for (var i = 0; i < 8; i++)
        {
            var derivations = _access.Derivations;
            var verdict = await _access.JudgeAsync("a", auth, Peer, Basic("relay:quick one"), default);
            Assert.Equal((Access.TooManyFailures, derivations), (verdict.Access, _access.Derivations));
            waits.Add(verdict.RetryAfter.TotalSeconds);
            _time.Advance(verdict.RetryAfter);
            Assert.Equal(Access.Refused, await JudgeAsync("relay:wrong", auth));
        }

        Assert.Equal([1, 2, 4, 8, 16, 32, 60, 60], waits);

        // Others are not concerned.
        Assert.Equal(Access.Granted, (await _access.JudgeAsync("a", auth, IPAddress.Parse("192.0.2.2"), Basic("relay:quick one"), default)).Access);

        // What is known to be right passes even from there.
        Assert.Equal(Access.Granted, await JudgeAsync("relay:quick one", auth));
    }

    [Fact]
    public async Task Addresses_are_bounded_and_an_IPv6_network_is_one()
    {
        var quick = _auth with { PasswordHash = PasswordHash.Create("x", new byte[16], 100_000).ToString() };
        for (var i = 0; i < 3; i++)
            await _access.JudgeAsync("a", quick, IPAddress.Parse($"2001:db8::{i + 1}"), Basic("relay:wrong"), default);
        Assert.Equal(1, _access.Addresses);
        _time.Advance(TimeSpan.FromMinutes(11));
        await _access.JudgeAsync("a", quick, Peer, Basic("relay:wrong"), default);
        Assert.Equal(1, _access.Addresses);
    }

    private static AuthConfig Auth(string password) =>
        new() { Username = "relay", PasswordHash = PasswordHash.Create(password, new byte[16], 100_000).ToString() };

    private async Task<Access> JudgeAsync(string credentials, AuthConfig? auth = null) =>
        (await _access.JudgeAsync("a", auth ?? _auth, Peer, Basic(credentials), default)).Access;

    private static string Basic(string credentials) => "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials));
}
