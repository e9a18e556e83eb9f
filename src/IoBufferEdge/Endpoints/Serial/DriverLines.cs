using IoBufferEdge.Configuration;
using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;

namespace IoBufferEdge.Endpoints.Serial;

/// <summary>
/// The GPIO lines that switch RS485 transmitters. A port's lines are taken with the transmitter off and held, also while the device
/// is away, until its last user has gone. A process that is killed leaves its lines as they were: so at the start
/// <see cref="SwitchOff"/> takes all that the configuration names before anything else is done.
/// </summary>
/// <param name="openChip">Opens a chip by its label.</param>
public sealed class DriverLines(Func<string, IGpioChip> openChip)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (Rs485Config Config, DriverSwitch Switch)> _taken = new(StringComparer.Ordinal);

    /// <summary>Takes the lines of every port that has some. What can't be taken is left to the port's own opening, which says why.</summary>
    public void SwitchOff(GatewayConfig config)
    {
        foreach (var endpoint in config.Channels.Where(c => c.Enabled).SelectMany(c => new EndpointConfig[] { c.Source, c.Destination }))
        {
            if (endpoint is not { Type: EndpointType.Serial, Rs485.Mode: Rs485Mode.Gpio }) continue;
            try
            {
                Take(SerialSettings.From(endpoint));
            }
            catch (EndpointException)
            {
            }
        }
    }

    /// <summary>The port's lines, with the transmitter off.</summary>
    /// <exception cref="EndpointException">There is no such chip or line, or it is in use (the message names by whom).</exception>
    internal DriverSwitch Take(SerialSettings settings)
    {
        lock (_lock)
        {
            if (_taken.TryGetValue(settings.Port, out var held) && held.Config == settings.Rs485)
            {
                held.Switch.Set(on: false);
                return held.Switch;
            }

            Release(settings.Port);
            try
            {
                var taken = new DriverSwitch(openChip, settings);
                _taken[settings.Port] = (settings.Rs485, taken);
                return taken;
            }
            catch (IOException e)
            {
                throw new EndpointException($"The RS485 transmitter of {settings.Port} cannot be switched: {e.Message}", e);
            }
        }
    }

    /// <summary>Switches the transmitter off and lets the port's lines go, where it has some.</summary>
    internal void Release(string port)
    {
        lock (_lock)
            if (_taken.Remove(port, out var held)) held.Switch.Dispose();
    }
}

/// <summary>Driver enable, and where it has a line of its own receiver enable: while the transmitter is on, the receiver is off.</summary>
internal sealed class DriverSwitch : IDisposable
{
    private readonly IGpioLine _driver;
    private readonly IGpioLine? _receiver;

    public DriverSwitch(Func<string, IGpioChip> openChip, SerialSettings settings)
    {
        var rs485 = settings.Rs485;
        _driver = Request(openChip, rs485.De!, active: false, settings.Port, "de");
        try
        {
            if (rs485.Re is { } re) _receiver = Request(openChip, re, active: true, settings.Port, "re");
        }
        catch
        {
            _driver.Dispose();
            throw;
        }
    }

    /// <summary>Allocates nothing.</summary>
    /// <exception cref="IOException">The chip has gone.</exception>
    public void Set(bool on)
    {
        if (on) _receiver?.Set(false);
        _driver.Set(on);
        if (!on) _receiver?.Set(true);
    }

    public void Dispose()
    {
        try
        {
            Set(on: false);
        }
        catch (IOException)
        {
            // The chip has gone, and its lines with it.
        }

        _driver.Dispose();
        _receiver?.Dispose();
    }

    private static IGpioLine Request(Func<string, IGpioChip> openChip, GpioLineConfig line, bool active, string port, string purpose) =>
        ConfiguredLine.Request(openChip, line, LineFlags.Output, active, $"iobufferedge:{Path.GetFileName(port)}:{purpose}");
}
