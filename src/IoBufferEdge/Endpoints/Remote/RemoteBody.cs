using System.Buffers;
using System.IO.Compression;
using System.Net;
using IoBufferEdge.Configuration;
using ZstdSharp;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// A request's body in pieces that are sent from where they lie. An answer can come while they are still being sent: <see cref="EndAsync"/>
/// waits until nobody reads them any more.
/// </summary>
internal sealed class PartsContent(IReadOnlyList<ReadOnlyMemory<byte>> parts) : HttpContent
{
    private readonly CancellationTokenSource _ending = new();
    private readonly SemaphoreSlim _oneAtATime = new(1, 1);

    /// <summary>Breaks off what is still being sent, and completes when nothing is, or ever will be.</summary>
    public async ValueTask EndAsync()
    {
        _ending.Cancel();
        await _oneAtATime.WaitAsync();
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(_ending.Token, cancellationToken);
        await _oneAtATime.WaitAsync(either.Token);
        try
        {
            foreach (var part in parts)
            {
                // The stream of HTTP/1.1 does not look at the token.
                either.Token.ThrowIfCancellationRequested();
                await stream.WriteAsync(part, either.Token);
            }
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = parts.Sum(part => (long)part.Length);
        return true;
    }
}

/// <summary>A body after compression, in arrays of the pool.</summary>
internal sealed class CompressedParts : Stream
{
    private const int ChunkBytes = 16 * 1024;

    /// <summary>Flash and radio gain little from more; the CPU of a small device pays for it.</summary>
    private const int ZstdLevel = 3;

    private readonly List<byte[]> _chunks = [];
    private int _filled;

    /// <summary>Null: as it is, or it would not become shorter.</summary>
    public static CompressedParts? Create(IReadOnlyList<ReadOnlyMemory<byte>> parts, Compression compression)
    {
        if (compression == Compression.None) return null;
        var compressed = new CompressedParts();
        using (Stream stream = compression == Compression.Gzip
                   ? new GZipStream(compressed, CompressionLevel.Fastest, leaveOpen: true)
                   : new CompressionStream(compressed, ZstdLevel, leaveOpen: true))
        {
            foreach (var part in parts) stream.Write(part.Span);
        }

        if (compressed.Length < parts.Sum(part => (long)part.Length)) return compressed;
        compressed.Dispose();
        return null;
    }

    public IReadOnlyList<ReadOnlyMemory<byte>> Parts =>
        [.. _chunks.Select((chunk, i) => new ReadOnlyMemory<byte>(chunk, 0, i == _chunks.Count - 1 ? _filled : chunk.Length))];

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => _chunks.Sum(chunk => (long)chunk.Length) - (_chunks.Count == 0 ? 0 : _chunks[^1].Length - _filled);

    public override long Position
    {
        get => Length;
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            if (_chunks.Count == 0 || _filled == _chunks[^1].Length)
            {
                _chunks.Add(ArrayPool<byte>.Shared.Rent(ChunkBytes));
                _filled = 0;
            }

            var piece = buffer[..Math.Min(buffer.Length, _chunks[^1].Length - _filled)];
            piece.CopyTo(_chunks[^1].AsSpan(_filled));
            _filled += piece.Length;
            buffer = buffer[piece.Length..];
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        foreach (var chunk in _chunks) ArrayPool<byte>.Shared.Return(chunk);
        _chunks.Clear();
        base.Dispose(disposing);
    }
}
