using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace IoBufferEdge.Interop.Linux;

/// <summary>
/// The socket calls that .NET does not offer: reads that never wait, the send queue, TCP_INFO, datagrams with their drop counter.
/// Every call returns at once. Results below zero are −errno. Numbers and layouts are those of the kernel's generic ABI
/// (asm-generic, 64-bit, little-endian), which x64 and arm64 share; on anything else the type refuses to load.
/// </summary>
public static unsafe partial class SocketCalls
{
    public const int TryAgain = -11;
    private const int Interrupted = -4;
    private const int DontWait = 0x40;
    private const int NoSignal = 0x4000;
    private const int TruncatedFlag = 0x20;
    private const int SolSocket = 1;
    private const int ReuseAddressOption = 2;
    private const int BindToDeviceOption = 25;
    private const int ReceiveBufferForceOption = 33;
    private const int ReceiveOverflowOption = 40;
    private const int IpProtoTcp = 6;
    private const int TcpInfoOption = 11;
    private const int TcpUserTimeoutOption = 18;
    private const uint OutputQueueRequest = 0x5411;
    private const int ControlBytes = 64;

    static SocketCalls()
    {
        if (RuntimeInformation.ProcessArchitecture is not (Architecture.X64 or Architecture.Arm64) || !BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("The socket constants are those of Linux on x64 and arm64.");
    }

    /// <summary>Reads what is there: bytes read, 0 at the end of the stream, or −errno (<see cref="TryAgain"/>: nothing there).</summary>
    public static int Receive(SafeSocketHandle socket, Span<byte> bytes)
    {
        fixed (byte* buffer = bytes)
        {
            int result;
            do result = Result(Recv(socket, buffer, (nuint)bytes.Length, DontWait));
            while (result == Interrupted);
            return result;
        }
    }

    /// <summary>Hands over what fits the send buffer: bytes taken, or −errno (<see cref="TryAgain"/>: full).</summary>
    public static int Send(SafeSocketHandle socket, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* buffer = bytes)
        {
            int result;
            do result = Result(Send(socket, buffer, (nuint)bytes.Length, DontWait | NoSignal));
            while (result == Interrupted);
            return result;
        }
    }

    /// <summary>SIOCOUTQ: bytes written and not yet acknowledged by the peer's kernel, or −errno.</summary>
    public static int OutputQueueBytes(SafeSocketHandle socket)
    {
        int bytes;
        var result = Ioctl(socket, OutputQueueRequest, &bytes);
        return result < 0 ? Result(result) : bytes;
    }

    /// <summary>TCP_INFO, or null when the kernel refuses.</summary>
    public static TcpInfo? ReadTcpInfo(SafeSocketHandle socket)
    {
        var bytes = stackalloc byte[256];
        uint length = 256;
        return GetSockOpt(socket, IpProtoTcp, TcpInfoOption, bytes, &length) == 0
            ? TcpInfo.Parse(new ReadOnlySpan<byte>(bytes, (int)length))
            : null;
    }

    /// <summary>TCP_USER_TIMEOUT in milliseconds: how long sent bytes may stay unacknowledged; 0: the kernel's retransmission
    /// limit.</summary>
    public static int SetUserTimeout(SafeSocketHandle socket, int timeoutMs) => SetOption(socket, IpProtoTcp, TcpUserTimeoutOption, timeoutMs);

    /// <summary>SO_REUSEADDR alone: .NET's option of that name also sets SO_REUSEPORT, which lets two programs share a port
    /// unnoticed.</summary>
    public static int SetReuseAddress(SafeSocketHandle socket) => SetOption(socket, SolSocket, ReuseAddressOption, 1);

    /// <summary>SO_RCVBUFFORCE: goes beyond net.core.rmem_max; needs CAP_NET_ADMIN.</summary>
    public static int ForceReceiveBuffer(SafeSocketHandle socket, int bytes) => SetOption(socket, SolSocket, ReceiveBufferForceOption, bytes);

    /// <summary>SO_RXQ_OVFL: datagrams carry the number of those that the kernel dropped before them.</summary>
    public static int ReportReceiveDrops(SafeSocketHandle socket) => SetOption(socket, SolSocket, ReceiveOverflowOption, 1);

    /// <summary>SO_BINDTODEVICE: only this interface is used.</summary>
    public static int BindToDevice(SafeSocketHandle socket, ReadOnlySpan<byte> interfaceName)
    {
        fixed (byte* name = interfaceName)
            return Result(SetSockOpt(socket, SolSocket, BindToDeviceOption, name, (uint)interfaceName.Length));
    }

    /// <summary>Reads one datagram: its bytes, where it came from, whether it was cut; <see cref="ReceivedDatagram.Result"/> −errno on
    /// failure.</summary>
    /// <param name="sender">Takes the sender's socket address as the kernel writes it; 28 bytes are enough for IPv6.</param>
    public static ReceivedDatagram ReceiveDatagram(SafeSocketHandle socket, Span<byte> bytes, Span<byte> sender)
    {
        fixed (byte* buffer = bytes, name = sender)
        {
            var control = stackalloc byte[ControlBytes];
            var vector = new IoVector { Base = buffer, Length = (nuint)bytes.Length };
            var header = new MessageHeader
            {
                Name = name,
                NameLength = (uint)sender.Length,
                Vectors = &vector,
                VectorCount = 1,
                Control = control,
                ControlLength = ControlBytes,
            };
            int result;
            do result = Result(RecvMsg(socket, &header, DontWait));
            while (result == Interrupted);
            if (result < 0) return new ReceivedDatagram(result, 0, false, null);
            var drops = FindDrops(new ReadOnlySpan<byte>(control, (int)header.ControlLength));
            return new ReceivedDatagram(result, (int)header.NameLength, (header.Flags & TruncatedFlag) != 0, drops);
        }
    }

    /// <summary>Walks the control messages: length u64, level i32, type i32, data, each aligned to 8 bytes.</summary>
    private static uint? FindDrops(ReadOnlySpan<byte> control)
    {
        while (control.Length >= 20)
        {
            var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(control);
            var level = BinaryPrimitives.ReadInt32LittleEndian(control[8..]);
            var type = BinaryPrimitives.ReadInt32LittleEndian(control[12..]);
            if (level == SolSocket && type == ReceiveOverflowOption) return BinaryPrimitives.ReadUInt32LittleEndian(control[16..]);
            var aligned = (length + 7) & ~7;
            if (aligned < 16 || aligned > control.Length) return null;
            control = control[aligned..];
        }

        return null;
    }

    private static int SetOption(SafeSocketHandle socket, int level, int option, int value) =>
        Result(SetSockOpt(socket, level, option, &value, sizeof(int)));

    private static int Result(nint result) => result < 0 ? -Marshal.GetLastPInvokeError() : (int)result;

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Recv(SafeSocketHandle socket, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(SafeSocketHandle socket, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    private static partial nint RecvMsg(SafeSocketHandle socket, MessageHeader* header, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Ioctl(SafeSocketHandle socket, nuint request, int* value);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int GetSockOpt(SafeSocketHandle socket, int level, int option, byte* value, uint* length);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetSockOpt(SafeSocketHandle socket, int level, int option, void* value, uint length);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary>struct msghdr, 56 bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public byte* Name;
        public uint NameLength;
        public IoVector* Vectors;
        public nuint VectorCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }
}

/// <param name="Result">Bytes copied, or −errno.</param>
/// <param name="SenderBytes">Length of the sender's socket address.</param>
/// <param name="Truncated">The datagram was longer than the buffer.</param>
/// <param name="Drops">SO_RXQ_OVFL: datagrams dropped since the socket was opened, modulo 2³²; null: none so far.</param>
public readonly record struct ReceivedDatagram(int Result, int SenderBytes, bool Truncated, uint? Drops);

/// <summary>The part of struct tcp_info (include/uapi/linux/tcp.h) that the gateway uses.</summary>
/// <param name="State">1 ESTABLISHED, 4 FIN_WAIT1, 5 FIN_WAIT2, 6 TIME_WAIT, 7 CLOSE, 8 CLOSE_WAIT, 9 LAST_ACK, 11 CLOSING.</param>
/// <param name="Probes">Zero-window or keepalive probes that the peer has not answered.</param>
/// <param name="SendMss">Bytes in a full segment to the peer.</param>
/// <param name="UnacknowledgedSegments">Segments in flight.</param>
/// <param name="SinceDataReceivedMs">Since the peer's last segment with data.</param>
/// <param name="SinceAckReceivedMs">Since the peer's last acknowledgement.</param>
/// <param name="AcknowledgedBytes">tcpi_bytes_acked: of all that was sent; of the same instant as the window. 0 where it is not reported.</param>
/// <param name="PeerWindowBytes">tcpi_snd_wnd; −1 where the kernel (before 5.4) does not report it.</param>
public readonly record struct TcpInfo(
    byte State, byte Probes, int SendMss, int UnacknowledgedSegments, uint SinceDataReceivedMs, uint SinceAckReceivedMs, long AcknowledgedBytes,
    long PeerWindowBytes)
{
    private const int BytesAckedOffset = 120;
    private const int SendWindowOffset = 228;

    /// <summary>Neither reset nor timed out, nor finished by both sides.</summary>
    public bool IsAlive => State is 1 or 4 or 5 or 8 or 9 or 11;

    /// <summary>The peer's FIN has arrived.</summary>
    public bool PeerHasFinished => State is 8 or 9 or 11;

    /// <summary>
    /// Null when the kernel returned less than the part that every kernel has. QEMU's user-mode emulation answers with the first four
    /// bytes alone, state and probes: then the window is not known, and the peer counts as heard of just now.
    /// </summary>
    public static TcpInfo? Parse(ReadOnlySpan<byte> info) => info.Length switch
    {
        4 => new TcpInfo(info[0], info[3], 0, 0, 0, 0, 0, -1),
        < 60 => null,
        _ => new TcpInfo(
            info[0],
            info[3],
            BinaryPrimitives.ReadInt32LittleEndian(info[16..]),
            BinaryPrimitives.ReadInt32LittleEndian(info[24..]),
            BinaryPrimitives.ReadUInt32LittleEndian(info[52..]),
            BinaryPrimitives.ReadUInt32LittleEndian(info[56..]),
            info.Length < BytesAckedOffset + 8 ? 0 : BinaryPrimitives.ReadInt64LittleEndian(info[BytesAckedOffset..]),
            info.Length < SendWindowOffset + 4 ? -1 : BinaryPrimitives.ReadUInt32LittleEndian(info[SendWindowOffset..])),
    };
}
