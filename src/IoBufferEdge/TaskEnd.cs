namespace IoBufferEdge;

/// <summary>Waiting for tasks whose outcome is known elsewhere.</summary>
internal static class TaskEnd
{
    /// <summary>Waits for the end of a task, however it ends: for who has dealt with its failure, or causes it by a cancellation.</summary>
    public static async ValueTask QuietlyAsync(this Task task)
    {
        try
        {
            await task;
        }
        catch (Exception)
        {
            // Its end is all that was asked for.
        }
    }
}
