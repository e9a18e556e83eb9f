using System.Globalization;
using IoBufferEdge.Configuration;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>What a serial line is set to; equal settings may share a port.</summary>
public sealed record SerialSettings(
    string Port, int BaudRate, int DataBits, string Parity, double StopBits, string FlowControl, Rs485Config Rs485, bool LowLatency)
{
    /// <summary>Above 19200 baud Modbus fixes t3.5 at 1.75 ms: shorter silences are no longer kept by its devices.</summary>
    private static readonly TimeSpan FastGap = TimeSpan.FromMilliseconds(1.75);

    private static readonly TimeSpan UsbLatency = TimeSpan.FromMilliseconds(2);

    public static SerialSettings From(EndpointConfig endpoint) => new(
        endpoint.SerialPort ?? "", endpoint.BaudRate, endpoint.DataBits, endpoint.Parity, endpoint.StopBits, endpoint.FlowControl,
        endpoint.Rs485, endpoint.LowLatency);

    public bool HasParity => Parity != "None";

    /// <summary>Start bit, data, parity, stop bits.</summary>
    public double BitsPerCharacter => 1 + DataBits + (HasParity ? 1 : 0) + StopBits;

    public TimeSpan WireTime(long bytes) => TimeSpan.FromSeconds(bytes * BitsPerCharacter / BaudRate);

    /// <summary>The silence that ends a frame: 3.5 characters, 1.75 ms above 19200 baud, or what is configured if that is longer.</summary>
    public TimeSpan IdleGap(double configuredMs)
    {
        var gap = BaudRate > 19_200 ? FastGap : WireTime(7) / 2;
        var configured = TimeSpan.FromMilliseconds(configuredMs);
        return configured > gap ? configured : gap;
    }

    /// <summary>
    /// How long bytes may be on their way from the wire to us: a UART hands them over 8 or 16 at a time, a USB adapter once a
    /// millisecond. Only after so much more than the gap is it certain that nothing has followed.
    /// </summary>
    public TimeSpan DeliverySlack
    {
        get
        {
            var fifo = WireTime(16);
            return fifo > UsbLatency ? fifo : UsbLatency;
        }
    }

    /// <summary>The line in the usual notation: <c>19200 8N1</c>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{BaudRate} {DataBits}{Parity[0]}{StopBits}")
        + (FlowControl == "None" ? "" : $" {FlowControl}");
}
