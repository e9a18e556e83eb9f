using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace IoBufferEdge.Benchmarks.Load;

/// <summary>
/// A receiver in a process of its own, made to be killed: it reads so many bytes, hands them on, and then never reads again.
/// What it handed on counts as read; the rest dies with it, in its kernel's receive buffer.
/// </summary>
public sealed class DoomedReceiver : IDisposable
{
    private readonly Process _process;
    private readonly Thread _thread;
    private readonly Ledger _ledger;
    private readonly int _readBytes;
    private long _handedOn;

    /// <param name="receiveBufferBytes">SO_RCVBUF; 0: the kernel grows it by itself.</param>
    public DoomedReceiver(Ledger ledger, int port, int readBytes, int receiveBufferBytes)
    {
        (_ledger, _readBytes) = (ledger, readBytes);
        _process = OwnProcess.Start("doomed-receiver", $"{port}", $"{readBytes}", $"{receiveBufferBytes}");
        _thread = new Thread(Read) { IsBackground = true, Name = "doomed receiver" };
        _thread.Start();
    }

    public void WaitUntilStopped(double seconds) => Wait.Until(
        () => Volatile.Read(ref _handedOn) == _readBytes || _process.HasExited, seconds,
        $"{_readBytes} bytes at the receiver that is to be killed",
        () => string.Create(CultureInfo.InvariantCulture, $"{_handedOn} bytes; {_ledger}"));

    /// <summary>kill -9; returns when all that the process had handed on is in the ledger.</summary>
    public void Kill()
    {
        _process.Kill();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(10)) || !_thread.Join(TimeSpan.FromSeconds(10)))
            throw new TimeoutException("Waited 10 s for the killed receiver to end.");
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            Kill();
        _process.Dispose();
    }

    /// <summary>The child's side: what the verb <c>doomed-receiver</c> does.</summary>
    public static void Run(int port, int readBytes, int receiveBufferBytes)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        if (receiveBufferBytes > 0)
            listener.ReceiveBufferSize = receiveBufferBytes;
        listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
        listener.Listen(1);
        using var connection = listener.Accept();
        using var output = Console.OpenStandardOutput();
        var buffer = new byte[64 * 1024];
        for (var left = readBytes; left > 0;)
        {
            var count = connection.Receive(buffer.AsSpan(0, Math.Min(buffer.Length, left)));
            if (count == 0)
                return;
            output.Write(buffer.AsSpan(0, count));
            left -= count;
        }

        output.Flush();
        Thread.Sleep(Timeout.Infinite);
    }

    private void Read()
    {
        var splitter = new FrameSplitter(MessageFraming.Line);
        var buffer = new byte[64 * 1024];
        var output = _process.StandardOutput.BaseStream;
        var first = true;
        for (int count; (count = output.Read(buffer)) > 0;)
        {
            if (first)
                _ledger.Connected();
            first = false;
            splitter.Feed(buffer.AsSpan(0, count), frame => _ledger.Read(NumberedMessage.Parse(frame, MessageFraming.Line)));
            Volatile.Write(ref _handedOn, _handedOn + count);
        }

        _ledger.Disconnected();
    }
}
