using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// TLS over a connection. <see cref="SendAsync"/> takes all it is offered; <see cref="BytesSent"/> and <see cref="Inspect"/> speak of the
/// connection beneath, that is of ciphertext: who wants to know what is acknowledged notes <see cref="BytesSent"/> behind each send.
/// The peer's end of stream is orderly only with its close_notify: see <see cref="EndedWithoutCloseNotify"/>.
/// </summary>
public sealed class TlsConnection : IConnection
{
    private readonly IConnection _inner;
    private readonly InnerStream _stream;
    private readonly SslStream _tls;
    private string? _refusal;
    private bool _aborts;

    private TlsConnection(IConnection inner)
    {
        _inner = inner;
        _stream = new InnerStream(inner);
        _tls = new SslStream(_stream);
    }

    public IPEndPoint Remote => _inner.Remote;

    public long BytesSent => _inner.BytesSent;

    /// <summary>
    /// True when <see cref="ReceiveAsync"/> has returned 0 because the peer sent FIN without close_notify: it may have died, or someone cut
    /// the stream. Rule 14 takes that for a disorderly end.
    /// </summary>
    public bool EndedWithoutCloseNotify { get; private set; }

    /// <summary>The server's side of the handshake. On failure <paramref name="inner"/> is left to the caller.</summary>
    /// <exception cref="EndpointException">One sentence with the peer and the reason.</exception>
    public static async ValueTask<TlsConnection> ServerAsync(IConnection inner, TlsContext tls, CancellationToken cancel)
    {
        var connection = new TlsConnection(inner);
        await connection.HandshakeAsync(
            connection._tls.AuthenticateAsServerAsync(
                tls.ServerOptions((_, certificate, chain, errors) => connection.Accepts(tls.VerifiesClients, certificate, chain, errors)), cancel),
            cancel);
        return connection;
    }

    /// <summary>The client's side of the handshake. On failure <paramref name="inner"/> is left to the caller.</summary>
    /// <param name="targetHost">The name or address that the server's certificate must be for.</param>
    /// <exception cref="EndpointException">One sentence with the peer and the reason.</exception>
    public static async ValueTask<TlsConnection> ClientAsync(IConnection inner, TlsContext tls, string targetHost, CancellationToken cancel)
    {
        var connection = new TlsConnection(inner);
        await connection.HandshakeAsync(
            connection._tls.AuthenticateAsClientAsync(
                tls.ClientOptions(
                    targetHost, (_, certificate, chain, errors) => connection.Accepts(tls.VerifiesServer, certificate, chain, errors)), cancel),
            cancel);
        return connection;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
    {
        await _tls.WriteAsync(bytes, cancel);
        return bytes.Length;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> ReceiveAsync(Memory<byte> bytes, CancellationToken cancel)
    {
        var read = await _tls.ReadAsync(bytes, cancel);
        if (read == 0) EndedWithoutCloseNotify = _stream.HasEnded;
        return read;
    }

    public int ReceiveNow(Span<byte> bytes)
    {
        try
        {
            var read = _tls.Read(bytes);
            if (read == 0) EndedWithoutCloseNotify = _stream.HasEnded;
            return read;
        }
        catch (NothingThereException)
        {
            return -1;
        }
    }

    public SendState Inspect() => _inner.Inspect();

    public void SetUserTimeout(bool on) => _inner.SetUserTimeout(on);

    /// <summary>Sends close_notify, then FIN; where the kernel's buffer is full, as soon as it is not.</summary>
    public void ShutdownSend() => _ = CloseNotifyAsync();

    public void AbortOnDispose()
    {
        _aborts = true;
        _inner.AbortOnDispose();
    }

    public void Dispose()
    {
        // SslStream sends nothing when disposed: an end without ShutdownSend looks like one to the peer, too.
        _tls.Dispose();
        _inner.Dispose();
    }

    private async Task CloseNotifyAsync()
    {
        try
        {
            if (!_aborts) await _tls.ShutdownAsync();
            _inner.ShutdownSend();
        }
        catch (Exception e) when (e is IOException or InvalidOperationException)
        {
            // Broken, disposed or still sending: the peer sees an end without close_notify.
        }
    }

    private async ValueTask HandshakeAsync(Task handshake, CancellationToken cancel)
    {
        try
        {
            await handshake;
        }
        catch (Exception e)
        {
            await _tls.DisposeAsync();
            if (e is OperationCanceledException && cancel.IsCancellationRequested) throw;
            if (e is AuthenticationException or IOException or OperationCanceledException)
                throw new EndpointException(
                    $"TLS with {Remote.Address} failed: {_refusal ?? (_stream.HasEnded ? "the peer has closed the connection" : Reason(e))}.", e);
            throw;
        }
    }

    /// <summary>What the peer's TLS library objected to lies innermost.</summary>
    internal static string Reason(Exception e)
    {
        while (e.InnerException is { } inner) e = inner;
        return e.Message.TrimEnd('.');
    }

    private bool Accepts(bool verifies, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (!verifies || errors == SslPolicyErrors.None) return true;
        _refusal = Refusal(certificate, chain, errors);
        return false;
    }

    /// <summary>
    /// What is wrong with the peer's certificate. The clock by its day alone: a sentence that changes with each attempt is told with each.
    /// </summary>
    internal static string Refusal(X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (certificate is null) return "the peer has shown no certificate";
        var status = X509ChainStatusFlags.NoError;
        foreach (var element in chain?.ChainStatus ?? []) status |= element.Status;
        var fault = (status & X509ChainStatusFlags.NotTimeValid) != X509ChainStatusFlags.NoError
            ? $"is valid from {Minute(certificate.GetEffectiveDateString())} to {Minute(certificate.GetExpirationDateString())} only, and this "
                + $"machine's clock says {chain?.ChainPolicy.VerificationTime.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture)}"
            : status != X509ChainStatusFlags.NoError ? "does not come from a trusted authority"
            : "is for another name";
        return $"the peer's certificate ({certificate.Subject}) {fault}";
    }

    /// <summary>The certificate says it in the words of the machine's culture.</summary>
    private static string Minute(string date) =>
        DateTime.Parse(date, CultureInfo.CurrentCulture).ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture);

    private sealed class NothingThereException : IOException;

    /// <summary>The connection as a stream. Its synchronous read never waits, its asynchronous one does.</summary>
    private sealed class InnerStream(IConnection inner) : WireStream
    {
        /// <summary>The peer's FIN has been read.</summary>
        public bool HasEnded { get; private set; }

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            Note(await inner.ReceiveAsync(buffer, cancellationToken), buffer.Length);

        public override int Read(Span<byte> buffer) => buffer.IsEmpty ? 0
            : inner.ReceiveNow(buffer) is >= 0 and var read ? Note(read, buffer.Length)
            : throw new NothingThereException();

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (!buffer.IsEmpty) buffer = buffer[await inner.SendAsync(buffer, cancellationToken)..];
        }

        public override void Flush()
        {
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        /// <summary>Only a key update that comes in while the kernel is read out answers this way: what does not fit at once ends the connection.</summary>
        public override void Write(ReadOnlySpan<byte> buffer)
        {
            var bytes = buffer.ToArray().AsMemory();
            while (!bytes.IsEmpty)
            {
                var sending = inner.SendAsync(bytes, CancellationToken.None);
                if (!sending.IsCompleted) throw new IOException($"{inner.Remote}: the peer does not read.");
                bytes = bytes[sending.Result..];
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        /// <summary>SslStream first reads into no buffer, to wait without holding one: such a 0 is no end.</summary>
        private int Note(int read, int offered)
        {
            HasEnded |= read == 0 && offered > 0;
            return read;
        }
    }
}
