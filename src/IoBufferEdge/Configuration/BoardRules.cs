using IoBufferEdge.Boards;

namespace IoBufferEdge.Configuration;

/// <summary>
/// What <c>device.board</c> means for the channels: a serial <c>port</c> without a slash is a name on the board and brings its device,
/// its RS485 switching and its latency along; what the endpoint says itself stands.
/// </summary>
internal static class BoardRules
{
    public static GatewayConfig Apply(GatewayConfig config, ConfigProblems problems)
    {
        var board = FindBoard(config.Device.Board, problems);
        if (config.Device.Board is not null && board is null) return config;
        return config with
        {
            Channels = [.. config.Channels.Select((channel, i) => channel with
            {
                Source = (SourceConfig)Resolve(channel.Source, board, $"channels[{i}].source", problems),
                Destination = (DestinationConfig)Resolve(channel.Destination, board, $"channels[{i}].destination", problems),
            })],
        };
    }

    /// <summary>
    /// One line switches the transmitter of one port, and is nothing else on the board. Whether a name and a number are one line only the
    /// chip knows: it refuses the second.
    /// </summary>
    public static void CheckLines(GatewayConfig config, ConfigProblems problems)
    {
        var users = new Dictionary<(string Chip, string Line), (string Port, string What)>();
        if (config.Device.Board is { } id && BoardFiles.Find(id) is { } board)
        {
            foreach (var led in board.Leds)
                if (led.Gpio is { } lit) users[(lit.Chip, lit.Line)] = ("", $"is the {EndpointValidator.Word(led.Role)} LED of the board {id}");
            if (board.Button?.Gpio is { } pressed) users[(pressed.Chip, pressed.Line)] = ("", $"is the button of the board {id}");
        }

        for (var i = 0; i < config.Channels.Count; i++)
        {
            var channel = config.Channels[i];
            if (!channel.Enabled) continue;
            Use(channel.Source, $"channels[{i}].source");
            Use(channel.Destination, $"channels[{i}].destination");
        }

        void Use(EndpointConfig endpoint, string at)
        {
            if (endpoint is not { Type: EndpointType.Serial, SerialPort: { } port }) return;
            var (de, re) = (endpoint.Rs485.De, endpoint.Rs485.Re);
            if (de is not null) Claim(de);
            if (re is not null && (re.Chip, re.Line) != (de?.Chip, de?.Line)) Claim(re);

            void Claim(GpioLineConfig line)
            {
                if (users.TryAdd((line.Chip, line.Line), (port, $"switches {port} of {at}"))) return;
                var other = users[(line.Chip, line.Line)];
                if (other.Port != port)
                    problems.Error($"{at}.rs485", $"uses line {line.Line} of {line.Chip}, which {other.What}: one line, one port");
            }
        }
    }

    private static Board? FindBoard(string? id, ConfigProblems problems)
    {
        if (id is null || !problems.IsReadable("device.board")) return null;
        if (BoardFiles.Find(id) is { } board) return board;
        problems.Unreadable("device.board", $"must be a board that is known, but is {Spelling.Quote(id)}: known are {string.Join(", ", BoardFiles.Ids)}");
        return null;
    }

    private static EndpointConfig Resolve(EndpointConfig endpoint, Board? board, string at, ConfigProblems problems)
    {
        if (board is null || endpoint is not { Type: EndpointType.Serial, SerialPort: { } name } || name.StartsWith('/')) return endpoint;
        if (board.Port(name) is not { } port)
        {
            var known = board.Ports.Length == 0 ? "it has none" : $"it has {string.Join(", ", board.Ports.Select(p => p.Name))}";
            problems.Unreadable($"{at}.port", $"must be a device's path or a port of the board {board.Id}, but is {Spelling.Quote(name)}: {known}");
            return endpoint;
        }

        return endpoint with
        {
            SerialPort = port.Device,
            Rs485 = problems.IsGiven($"{at}.rs485") || port.Rs485 is null ? endpoint.Rs485 : port.Rs485,
            LowLatency = problems.IsGiven($"{at}.low_latency") ? endpoint.LowLatency : port.LowLatency,
        };
    }
}
