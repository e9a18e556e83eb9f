using System.Buffers.Binary;
using IoBufferEdge.Buffers;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// A block as it comes from the disk. What is taken for one has entries that stay inside of it; and also with a checksum that fits (the
/// harness puts one in) its counts are not believed unseen.
/// </summary>
internal sealed class BlockTarget : FuzzTarget
{
    public override string Name => "block";

    public override IReadOnlyList<byte[]> Words { get; } = ["IOBB\x01"u8.ToArray(), [255, 255, 255, 127], [1, 0, 0, 0], new byte[8]];

    public override void Judge(byte[] input, Behaviours seen)
    {
        JudgeBlock(input, seen);
        if (input.Length < BlockFormat.TrailerBytes) return;
        var sealedInput = input.ToArray();
        BlockFormat.Seal(sealedInput);
        JudgeBlock(sealedInput, seen);
    }

    private static void JudgeBlock(ReadOnlySpan<byte> bytes, Behaviours seen)
    {
        var isHeader = BlockFormat.TryReadHeader(bytes, out var header);
        var isBlock = BlockFormat.TryRead(bytes, out var block);
        seen.Saw(isHeader, isBlock, isHeader && header.EncodedLength == bytes.Length);
        if (!isBlock) return;
        var payloadBytes = 0L;
        for (var i = 0; i < header.Count; i++)
        {
            payloadBytes += block.Length(i);
            _ = (block.Flags(i), block.ReceivedRunningUs(i));
        }

        Assert.Equal(block.Payload.Length, payloadBytes);
        Assert.Equal(bytes.Length, BlockFormat.EncodedLength(header.Count, header.PayloadBytes, header.RoutesBytes));
        Assert.True(header.LastSequence >= header.FirstSequence, $"{header.FirstSequence}..{header.LastSequence}");
    }
}

/// <summary>
/// The engine's own files, as a salvage reads them: whatever they are, it ends, and each block that it shows is one. The input is the
/// file; it is read as a log and as a table.
/// </summary>
internal sealed class LogTarget : FuzzTarget
{
    private readonly string _file = Path.Combine(CreateFolder(), "000012.log");

    public override string Name => "log";

    public override IReadOnlyList<byte[]> Words { get; } =
        ["IOBB\x01"u8.ToArray(), [0, 0, 1], [0, 1, 2], [1, 0, 5, 12, 0, 0, 0], new byte[7], [255, 255], [130], [131], [11]];

    public override void Judge(byte[] input, Behaviours seen)
    {
        File.WriteAllBytes(_file, input);
        var damaged = LogScan.IsDamaged(_file);
        var (inLog, inTable) = (0, 0);
        LogScan.LogBlocks(_file, (key, block) => inLog += JudgeBlock(key, block));
        LogScan.TableBlocks(_file, (key, block) => inTable += JudgeBlock(key, block));
        seen.Saw(damaged, Math.Min(inLog, 9), Math.Min(inTable, 9));
        seen.Saw(input.Length > 6 ? input[6] : -1, damaged, inLog);
    }

    public override void Dispose()
    {
        Directory.Delete(Path.GetDirectoryName(_file)!, recursive: true);
        base.Dispose();
    }

    private static int JudgeBlock(ReadOnlySpan<byte> key, ReadOnlySpan<byte> bytes)
    {
        Assert.True(BlockFormat.TryRead(bytes, out var block));
        Assert.Equal(block.Header.FirstSequence, StoreRecords.ReadBlockKey(key).First);
        return 1;
    }
}

/// <summary>
/// The high-water mark's file: either slot may be anything, also with a checksum that fits (the harness puts one in). What is read back
/// can be written and read again.
/// </summary>
internal sealed class MarkTarget : FuzzTarget
{
    private const int HeaderBytes = 16;
    private readonly string _file = Path.Combine(CreateFolder(), "mark");

    public override string Name => "mark";

    public override IReadOnlyList<byte[]> Words { get; } = ["IOHW\x01\0\0\0"u8.ToArray(), [255, 255, 255, 127], [1, 0, 0, 0], [2, 0, 0, 0], new byte[8]];

    public override void Judge(byte[] input, Behaviours seen)
    {
        Read(input, seen);
        if (input.Length < HeaderBytes) return;
        var sealedInput = input.ToArray();
        BinaryPrimitives.WriteInt32LittleEndian(sealedInput.AsSpan(8), input.Length - HeaderBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(sealedInput.AsSpan(12), BlockFormat.Checksum(sealedInput.AsSpan(HeaderBytes)));
        Read(sealedInput, seen);
    }

    public override void Dispose()
    {
        Directory.Delete(Path.GetDirectoryName(_file)!, recursive: true);
        base.Dispose();
    }

    private void Read(byte[] bytes, Behaviours seen)
    {
        File.WriteAllBytes(_file, bytes);
        using var mark = new HighWaterMark(_file);
        var found = mark.Read();
        seen.Saw(found is null, Math.Min(found?.Queues.Count ?? 0, 9), found?.Queues.Values.Any(q => q.Id.Length == 0));
        Assert.True(found is null || found.Queues.Count <= bytes.Length, "More queues than bytes.");
    }
}
