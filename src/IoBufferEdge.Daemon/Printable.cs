namespace IoBufferEdge.Daemon;

/// <summary>Foreign bytes on a terminal: what could steer it is written out.</summary>
internal static class Printable
{
    public static string Byte(byte value) => value switch
    {
        (byte)'\r' => "\\r",
        (byte)'\n' => "\\n",
        (byte)'\\' => "\\\\",
        >= 0x20 and < 0x7f => ((char)value).ToString(),
        _ => $"\\x{value:x2}",
    };
}
