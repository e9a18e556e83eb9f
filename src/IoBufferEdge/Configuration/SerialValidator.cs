using System.Globalization;
using IoBufferEdge.Endpoints.Serial;

namespace IoBufferEdge.Configuration;

/// <summary>What the keys of a serial port ask of each other. Whether its hardware can do it shows when it is opened.</summary>
internal static class SerialValidator
{
    public static void Check(EndpointConfig endpoint, string at, ConfigProblems problems)
    {
        if (endpoint.SerialPort is { } port && !port.StartsWith('/') && problems.IsReadable($"{at}.port") && problems.IsReadable("device.board"))
        {
            problems.Error($"{at}.port",
                $"must be the path of a serial device, /dev/ttyUSB0 or better /dev/serial/by-id/…, but is {Spelling.Quote(port)}");
        }

        CheckStopBits(endpoint, at, problems);
        CheckGap(endpoint, at, problems);
        if (problems.IsReadable($"{at}.rs485")) CheckRs485(endpoint, at, problems);
    }

    private static void CheckStopBits(EndpointConfig endpoint, string at, ConfigProblems problems)
    {
        if (!problems.IsReadable($"{at}.stop_bits") || !problems.IsReadable($"{at}.data_bits")) return;
        if (endpoint is { StopBits: 1.5, DataBits: not 5 })
            problems.Error($"{at}.stop_bits", $"1.5 exists only with 5 data bits: use 1 or 2 with {endpoint.DataBits}");
        if (endpoint is { StopBits: 2, DataBits: 5 })
            problems.Error($"{at}.stop_bits", "2 does not exist with 5 data bits, where UARTs make it 1.5: use 1 or 1.5");
    }

    private static void CheckGap(EndpointConfig endpoint, string at, ConfigProblems problems)
    {
        if (endpoint.EffectiveFraming is not { Type: FramingType.IdleGap, GapMs: > 0 and var gapMs }) return;
        if (!problems.IsReadable($"{at}.baud_rate")) return;
        var least = SerialSettings.From(endpoint).IdleGap(0).TotalMilliseconds;
        if (gapMs < least)
            problems.Warn($"{at}.framing.gap_ms",
                string.Create(CultureInfo.InvariantCulture, $"is raised to {least:0.##}, the least that ends a message at {endpoint.BaudRate} baud"));
    }

    private static void CheckRs485(EndpointConfig endpoint, string at, ConfigProblems problems)
    {
        var rs485 = endpoint.Rs485;
        switch (rs485.Mode)
        {
            case Rs485Mode.Gpio when rs485.De is null && problems.IsReadable($"{at}.rs485.de"):
                problems.Error($"{at}.rs485.de",
                    "is missing: it names the line that switches the transmitter in mode gpio, {\"chip\":\"pinctrl-bcm2711\",\"line\":4}");
                break;
            case Rs485Mode.Gpio when rs485.De?.Chip == rs485.Re?.Chip && rs485.De?.Line == rs485.Re?.Line:
                problems.Error($"{at}.rs485.re", "is the line of de: name another one, or leave it out where one line switches both");
                break;
            case Rs485Mode.Kernel when rs485.PreDelayUs % 1000 != 0:
                problems.Error($"{at}.rs485.pre_delay_us", $"must be whole milliseconds in mode kernel, but is {rs485.PreDelayUs}");
                break;
            case Rs485Mode.Auto or Rs485Mode.None when rs485.PreDelayUs > 0:
                problems.Warn($"{at}.rs485.pre_delay_us", $"has no effect in mode {EndpointValidator.Word(rs485.Mode)}");
                break;
        }

        if (rs485.GuardBits > 0 && rs485.Mode is not (Rs485Mode.Rts or Rs485Mode.Gpio))
            problems.Warn($"{at}.rs485.guard_bits", $"has no effect in mode {EndpointValidator.Word(rs485.Mode)}");
        if (rs485.Mode != Rs485Mode.Gpio && (rs485.De is not null || rs485.Re is not null))
            problems.Error($"{at}.rs485", $"names de or re, which mode {EndpointValidator.Word(rs485.Mode)} does not use: leave them out");
        if (rs485.Mode is Rs485Mode.Kernel or Rs485Mode.Rts && endpoint.FlowControl == "RTS/CTS")
            problems.Error($"{at}.flow_control", "RTS/CTS needs the line that switches the RS485 transmitter: use None");
    }

    public static void CheckPoll(SourceConfig source, string at, ConfigProblems problems)
    {
        if (source.Poll.Count == 0) return;
        if (source.Ack is not null)
            problems.Error($"{at}.ack", "answers a device that sends of its own accord, and poll asks: keep one of them");
        for (var i = 0; i < source.Poll.Count; i++)
        {
            var poll = source.Poll[i];
            if (poll.Crc == PollCrc.Modbus && poll.RequestHex is { Length: > 0 and < 4 })
                problems.Error($"{at}.poll[{i}].request_hex", "must name at least a device and a function, two bytes: the checksum is added");
        }
    }
}
