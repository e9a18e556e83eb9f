namespace IoBufferEdge.Endpoints;

/// <summary>Libraries wrap what went wrong: who explains it looks for what lies inside.</summary>
internal static class ExceptionChain
{
    /// <summary>The outermost of this kind, the exception itself or one inside it; null: there is none.</summary>
    public static T? Find<T>(this Exception? e)
        where T : Exception
    {
        while (e is not null and not T) e = e.InnerException;
        return (T?)e;
    }
}
