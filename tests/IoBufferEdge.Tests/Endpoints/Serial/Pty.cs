using System.Runtime.InteropServices;
using IoBufferEdge.Interop.Linux;
using Microsoft.Win32.SafeHandles;

namespace IoBufferEdge.Tests.Endpoints.Serial;

/// <summary>
/// A pseudo terminal: the gateway opens <see cref="Path"/>, the test is the device at the other end. Closing it is pulling the plug: the
/// open port hangs up, and the path is gone. A pty has no wire: bytes arrive when they are written, parity and 7 data bits are refused.
/// </summary>
internal sealed partial class Pty : IDisposable
{
    private const int ReadWrite = 2, NoControllingTerminal = 0x100, NonBlocking = 0x800, CloseOnExec = 0x80000;
    private readonly SafeFileHandle _master;

    public Pty()
    {
        _master = posix_openpt(ReadWrite | NoControllingTerminal | NonBlocking | CloseOnExec);
        if (_master.IsInvalid || grantpt(_master) != 0 || unlockpt(_master) != 0) throw new IOException("There are no pseudo terminals here.");
        Span<byte> name = stackalloc byte[64];
        if (ptsname_r(_master, ref name[0], (nuint)name.Length) != 0) throw new IOException("The pseudo terminal has no name.");
        Path = System.Text.Encoding.ASCII.GetString(name[..name.IndexOf((byte)0)]);
        MakeRaw(Path);
    }

    public string Path { get; }

    public SafeFileHandle Master => _master;

    /// <summary>What whoever has opened the other end has set.</summary>
    public uint BaudRate => SerialCalls.GetTermios(_master, out var termios) == 0 ? termios.OutputSpeed : 0;

    /// <summary>Writes; waits where the line is full.</summary>
    public async Task WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        for (var late = DateTime.UtcNow.AddSeconds(20); !bytes.IsEmpty;)
        {
            var written = SerialCalls.Write(_master, bytes.Span);
            if (written > 0) bytes = bytes[written..];
            else if (DateTime.UtcNow > late) throw new TimeoutException("The line takes nothing.");
            else await Task.Delay(1);
        }
    }

    public Task WriteAsync(string text) => WriteAsync(System.Text.Encoding.Latin1.GetBytes(text));

    /// <summary>Reads so many bytes; fails after 20 s.</summary>
    public async Task<byte[]> ReadAsync(int count)
    {
        var bytes = new byte[count];
        var late = DateTime.UtcNow.AddSeconds(20);
        for (var read = 0; read < count;)
        {
            var now = SerialCalls.Read(_master, bytes.AsSpan(read));
            if (now > 0) read += now;
            else if (DateTime.UtcNow > late) throw new TimeoutException($"{read} of {count} bytes came.");
            else await Task.Delay(1);
        }

        return bytes;
    }

    /// <summary>What is there now.</summary>
    public int ReadNow(Span<byte> bytes) => SerialCalls.Read(_master, bytes);

    public void Dispose() => _master.Dispose();

    private static void MakeRaw(string path)
    {
        using var slave = SerialCalls.Open(path, out var error);
        if (error != 0 || SerialCalls.GetTermios(slave, out var termios) != 0) throw new IOException($"{path} can't be opened.");
        (termios.Input, termios.Output, termios.Local) = (InputModes.None, 0, 0);
        if (SerialCalls.SetTermios(slave, termios) != 0) throw new IOException($"{path} can't be made raw.");
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial SafeFileHandle posix_openpt(int flags);

    [LibraryImport("libc")]
    private static partial int grantpt(SafeFileHandle master);

    [LibraryImport("libc")]
    private static partial int unlockpt(SafeFileHandle master);

    [LibraryImport("libc")]
    private static partial int ptsname_r(SafeFileHandle master, ref byte name, nuint length);
}

/// <summary>A by-id path: a link to a device that goes and comes back under another name.</summary>
internal sealed class PluggedDevice : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-serial-").FullName;

    public PluggedDevice() => Plug();

    public string Path => System.IO.Path.Combine(_folder, "usb-adapter");

    public Pty Pty { get; private set; } = null!;

    public void Plug()
    {
        Pty = new Pty();
        File.CreateSymbolicLink(Path, Pty.Path);
    }

    public void Unplug()
    {
        File.Delete(Path);
        Pty.Dispose();
    }

    public void Dispose()
    {
        Pty.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
