using System.Text;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// Routes as strings, each made once: messages come by the million over the same few. Bounded: when too many are known, all are forgotten;
/// messages that have one keep it. Thread-safe.
/// </summary>
internal sealed class RouteNames
{
    private const int CharsMax = 64 * 1024;

    private readonly Lock _lock = new();
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);
    private readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> _bySpan;
    private int _chars;

    public RouteNames() => _bySpan = _known.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>The route with one name more at its end.</summary>
    /// <param name="route">ASCII; shorter than a route may be by one name at least.</param>
    public string Append(ReadOnlySpan<byte> route, string name)
    {
        Span<char> text = stackalloc char[RemoteName.RouteBytesMax];
        var length = Encoding.ASCII.GetChars(route, text);
        text[length++] = '>';
        name.CopyTo(text[length..]);
        return Intern(text[..(length + name.Length)]);
    }

    private string Intern(ReadOnlySpan<char> text)
    {
        lock (_lock)
        {
            if (_bySpan.TryGetValue(text, out var known)) return known;
            if (_chars + text.Length > CharsMax)
            {
                _known.Clear();
                _chars = 0;
            }

            var made = text.ToString();
            _known.Add(made);
            _chars += made.Length;
            return made;
        }
    }
}
