namespace IoBufferEdge.Tests.Fuzz;

/// <summary>Small random changes to an input; now and then one that makes it long.</summary>
internal static class Mutator
{
    private const int LongBytesMax = 200_000;
    private const int OneLongIn = 2000;

    private static readonly byte[] Edges = [0, 1, 0x7F, 0x80, 0xFF, (byte)'\r', (byte)'\n', 0x02, 0x03, 0x0B, 0x1C];

    public static byte[] Mutate(byte[] input, byte[] other, IReadOnlyList<byte[]> words, int bytesMax, Random random)
    {
        var bytes = new List<byte>(input);
        for (var changes = random.Next(1, 6); changes > 0; changes--) Change(bytes, other, words, random);
        if (bytes.Count > bytesMax) bytes.RemoveRange(bytesMax, bytes.Count - bytesMax);
        if (random.Next(OneLongIn) == 0 && bytes.Count > 0) Lengthen(bytes, random.Next(LongBytesMax));
        return [.. bytes];
    }

    private static void Change(List<byte> bytes, byte[] other, IReadOnlyList<byte[]> words, Random random)
    {
        var at = random.Next(bytes.Count + 1);
        var run = Math.Min(bytes.Count - at, random.Next(1, random.Next(2, 64)));
        switch (random.Next(10))
        {
            case 0 when run > 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when run > 0:
                bytes[at] = (byte)random.Next(256);
                break;
            case 2 when run > 0:
                bytes[at] = Edges[random.Next(Edges.Length)];
                break;
            case 3 when run > 0:
                bytes.RemoveRange(at, run);
                break;
            case 4 when run > 0:
                bytes.InsertRange(random.Next(bytes.Count + 1), bytes.GetRange(at, run));
                break;
            case 5:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 6 when other.Length > 0:
                var from = random.Next(other.Length);
                bytes.InsertRange(at, other[from..Math.Min(other.Length, from + random.Next(1, 256))]);
                break;
            case 7 when run >= 4:
                Add(bytes, at, random.Next(-20, 21));
                break;
            case 8 or 9 when words.Count > 0:
                bytes.InsertRange(at, words[random.Next(words.Count)]);
                break;
            default:
                bytes.Insert(at, Edges[random.Next(Edges.Length)]);
                break;
        }
    }

    /// <summary>Changes a length or a number where there is one.</summary>
    private static void Add(List<byte> bytes, int at, int difference)
    {
        for (var carry = difference; carry != 0 && at < bytes.Count; at++, carry >>= 8)
        {
            carry += bytes[at];
            bytes[at] = (byte)carry;
        }
    }

    private static void Lengthen(List<byte> bytes, int length)
    {
        var piece = bytes.ToArray();
        while (bytes.Count < length) bytes.AddRange(piece);
    }
}
