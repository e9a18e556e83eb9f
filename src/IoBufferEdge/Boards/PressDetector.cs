namespace IoBufferEdge.Boards;

/// <summary>
/// Makes presses of what is seen of a contact that bounces: a level counts once it has stood for 50 ms, and a press lasts from the first
/// moment of the one level to the first of the other. It goes by the times of the edges, so it does not matter when it is told of them.
/// </summary>
/// <param name="isPressed">The level at the start; a press that is under way then does not count.</param>
public sealed class PressDetector(bool isPressed)
{
    /// <summary>How long a level stands before it counts; above what contacts bounce, below the shortest press of a finger.</summary>
    public static readonly TimeSpan Stands = TimeSpan.FromMilliseconds(50);

    private bool _level = isPressed;
    private bool _counted = isPressed;
    private TimeSpan _levelSince;
    private TimeSpan? _pressedAt;

    /// <summary>The last level counts already: until the next edge there is nothing to look at.</summary>
    public bool IsSettled => _level == _counted;

    /// <summary>
    /// The level from this time on: behind an edge, or as it was looked at. Where edges were lost, the look puts it right.
    /// </summary>
    /// <param name="at">On one clock for edges and looks, in their order.</param>
    /// <returns>How long the press lasted whose end counts from now on; else null.</returns>
    public TimeSpan? See(bool isPressed, TimeSpan at)
    {
        var ended = !IsSettled && at - _levelSince >= Stands ? Count() : null;
        if (isPressed != _level) (_level, _levelSince) = (isPressed, at);
        return ended;
    }

    private TimeSpan? Count()
    {
        _counted = _level;
        var lasted = _level ? null : _levelSince - _pressedAt;
        _pressedAt = _level ? _levelSince : null;
        return lasted;
    }
}
