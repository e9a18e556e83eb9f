namespace IoBufferEdge.Daemon;

/// <summary>Exit codes, as sysexits.h has them; <c>check</c> adds 78 for a wrong configuration, 74 for an unreadable one.</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>The gateway refused what it was asked.</summary>
    public const int Failed = 1;

    public const int Usage = 64;

    /// <summary>No gateway answers.</summary>
    public const int Unavailable = 69;

    /// <summary>A file, folder or store cannot be used.</summary>
    public const int IoError = 74;

    /// <summary>Another gateway holds the data folder, or messages could not be secured at the end: try again later.</summary>
    public const int TemporaryFailure = 75;

    public const int BadConfiguration = 78;
}
