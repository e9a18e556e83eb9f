using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.Benchmarks.Loops;

/// <summary>
/// Makes a destination's life hard on a thread of its own, at random: away for a while, killed with bytes unread, slow, not reading at
/// all, its connection reset or ended in good order; well in between.
/// </summary>
public sealed class Flapper : IDisposable
{
    private readonly Receiver _receiver;
    private readonly Random _random;
    private readonly Thread _thread;
    private readonly ManualResetEventSlim _stop = new();
    private int _flaps;
    private volatile Exception? _failure;

    public Flapper(Receiver receiver, int seed)
    {
        (_receiver, _random) = (receiver, new Random(seed));
        _thread = new Thread(Run) { IsBackground = true, Name = "flapper" };
        _thread.Start();
    }

    public int Flaps => Volatile.Read(ref _flaps);

    public Exception? Failure => _failure;

    /// <summary>Returns when the destination is up and well for good.</summary>
    public void Stop()
    {
        _stop.Set();
        if (!_thread.Join(TimeSpan.FromSeconds(30)))
            throw new TimeoutException("Waited 30 s for the last trouble of a destination to be over.");
    }

    public void Dispose()
    {
        Stop();
        _stop.Dispose();
    }

    private void Run()
    {
        try
        {
            _receiver.Up();
            while (!Rest(500, 3000))
            {
                Trouble();
                Interlocked.Increment(ref _flaps);
            }
        }
        catch (Exception e)
        {
            _failure = e;
        }
    }

    private void Trouble()
    {
        switch (_random.Next(6))
        {
            case 0:
                _receiver.Down(ConnectionEnd.Orderly);
                Rest(300, 4000);
                break;
            case 1:
                _receiver.Pause();
                Rest(50, 300);
                _receiver.Down(ConnectionEnd.Reset);
                Rest(100, 2000);
                break;
            case 2:
                _receiver.BytesPerS = _random.Next(20_000, 500_000);
                Rest(1000, 4000);
                _receiver.BytesPerS = 0;
                break;
            case 3:
                _receiver.Pause();
                Rest(300, 3000);
                _receiver.Resume();
                break;
            case 4:
                _receiver.Break(ConnectionEnd.Reset);
                break;
            default:
                _receiver.Break(ConnectionEnd.Orderly);
                break;
        }

        _receiver.Up();
    }

    /// <summary>True when it is time to stop.</summary>
    private bool Rest(int fromMs, int toMs) => _stop.Wait(_random.Next(fromMs, toMs));
}
