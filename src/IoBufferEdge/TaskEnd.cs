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

    /// <summary>Waits for the end of a task, at most so long. False: it has not ended. A failure of the task is thrown.</summary>
    public static async Task<bool> EndsWithinAsync(this Task task, TimeProvider time, TimeSpan timeout)
    {
        try
        {
            await task.WaitAsync(timeout > TimeSpan.Zero ? timeout : TimeSpan.Zero, time);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }
}
