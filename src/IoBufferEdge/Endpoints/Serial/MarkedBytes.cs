namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// Undoes the kernel's marks (PARMRK) in what is read from a port: <c>FF FF</c> is the byte FF, <c>FF 00 00</c> a break, <c>FF 00 X</c>
/// the byte X with a parity or frame error (X = 0 cannot be told from a break). Policy: nothing is dropped: a damaged byte stays in its
/// place, and the message that it belongs to is flagged <see cref="MessageFlags.Damaged"/> and counted; a break holds no byte.
/// A mark may lie across two reads. Not thread-safe.
/// </summary>
internal sealed class MarkedBytes(ArrivalQueue queue)
{
    private readonly List<byte> _bytes = [];
    private readonly List<(int Index, bool IsBreak)> _specials = [];
    private int _markBytes;

    /// <summary>Breaks and damaged bytes seen, for drivers that do not count.</summary>
    public long Breaks { get; private set; }

    public long DamagedBytes { get; private set; }

    /// <param name="read">What one read returned.</param>
    /// <param name="at">When it had arrived.</param>
    public void Add(ReadOnlySpan<byte> read, long at)
    {
        _bytes.Clear();
        _specials.Clear();
        foreach (var value in read) Unmark(value);
        var bytes = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_bytes);
        var from = 0;
        foreach (var (index, isBreak) in _specials)
        {
            if (index > from) queue.Add(bytes[from..index], at, ArrivalKind.Ordinary, bytes.Length);
            from = isBreak ? index : index + 1;
            queue.Add(bytes[index..from], at, isBreak ? ArrivalKind.Break : ArrivalKind.Damaged, bytes.Length);
        }

        if (from < bytes.Length) queue.Add(bytes[from..], at, ArrivalKind.Ordinary, bytes.Length);
    }

    private void Unmark(byte value)
    {
        switch (_markBytes)
        {
            case 0 when value == 0xFF:
                _markBytes = 1;
                break;
            case 0:
                _bytes.Add(value);
                break;
            case 1 when value == 0:
                _markBytes = 2;
                break;
            case 1:
                // FF FF; whatever else stands behind FF is no mark and stays as it is.
                if (value != 0xFF) _bytes.Add(0xFF);
                _bytes.Add(value);
                _markBytes = 0;
                break;
            default:
                Special(value);
                _markBytes = 0;
                break;
        }
    }

    private void Special(byte value)
    {
        _specials.Add((_bytes.Count, value == 0));
        if (value == 0)
        {
            Breaks++;
            return;
        }

        DamagedBytes++;
        _bytes.Add(value);
    }
}
