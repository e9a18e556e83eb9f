using System.IO.Compression;
using Microsoft.AspNetCore.Http;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace IoBufferEdge.Daemon;

/// <summary>Reads a request's body into the memory that was taken for it, and unpacks it there, to a length that is known before.</summary>
internal static class BodyReader
{
    private const string Gzip = "gzip", Zstd = "zstd";

    public static bool Knows(string encoding) => encoding is "" or "identity" or Gzip or Zstd;

    /// <summary>The longest body on the wire: what cannot be compressed grows by a little.</summary>
    public static int WireMax(int maxBytes) => maxBytes + maxBytes / 64 + 1024;

    /// <summary>How much memory the body needs; null: its length is not known, or too large.</summary>
    public static int? RoomFor(string encoding, long? length, int maxBytes) => encoding switch
    {
        Gzip => length > WireMax(maxBytes) ? null : maxBytes,
        Zstd => length > WireMax(maxBytes) ? null : (int)(length ?? WireMax(maxBytes)) + maxBytes,
        _ => length <= maxBytes ? (int)length : null,
    };

    /// <summary>The body, uncompressed; null: it is longer than <paramref name="maxBytes"/>.</summary>
    /// <exception cref="InvalidDataException">It is not what the encoding says.</exception>
    /// <exception cref="BadHttpRequestException">It came too slowly, or ended early.</exception>
    public static async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(
        HttpRequest request, string encoding, RequestBody body, int maxBytes, CancellationToken cancel)
    {
        switch (encoding)
        {
            case Gzip:
                return await UngzipAsync(request.Body, body, cancel);
            case Zstd:
                return await UnzstdAsync(request.Body, body, maxBytes, cancel);
            default:
                var read = await FillAsync(request.Body, body.Memory, cancel);
                return body.Memory[..read];
        }
    }

    private static async ValueTask<ReadOnlyMemory<byte>?> UngzipAsync(Stream wire, RequestBody body, CancellationToken cancel)
    {
        await using var plain = new GZipStream(wire, CompressionMode.Decompress, leaveOpen: true);
        var read = await FillAsync(plain, body.Memory, cancel);
        if (read == body.Memory.Length && await plain.ReadAsync(new byte[1], cancel) > 0) return null;
        body.Trim(read);
        return body.Memory[..read];
    }

    /// <summary>From the end of the memory to its front, in one go: so nothing else is needed, whatever window the sender has chosen.</summary>
    private static async ValueTask<ReadOnlyMemory<byte>?> UnzstdAsync(Stream wire, RequestBody body, int maxBytes, CancellationToken cancel)
    {
        var packed = body.Memory[maxBytes..];
        packed = packed[..await FillAsync(wire, packed, cancel)];
        if (Unzstd(packed.Span, body.Memory.Span[..maxBytes]) is not { } length) return null;
        body.Trim(length + packed.Length);
        return body.Memory[..length];
    }

    private static int? Unzstd(ReadOnlySpan<byte> packed, Span<byte> room)
    {
        using var decompressor = new Decompressor();
        try
        {
            return decompressor.Unwrap(packed, room);
        }
        catch (ZstdException e)
        {
            return e.Code == ZSTD_ErrorCode.ZSTD_error_dstSize_tooSmall ? null : throw new InvalidDataException(e.Message, e);
        }
    }

    private static async ValueTask<int> FillAsync(Stream stream, Memory<byte> memory, CancellationToken cancel)
    {
        var filled = 0;
        while (filled < memory.Length && await stream.ReadAsync(memory[filled..], cancel) is > 0 and var read) filled += read;
        return filled;
    }
}
