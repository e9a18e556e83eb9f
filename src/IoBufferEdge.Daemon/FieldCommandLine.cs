using System.CommandLine;
using System.Globalization;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Endpoints.Serial;
using IoBufferEdge.Gpio;
using IoBufferEdge.Interop.Linux;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Daemon;

/// <summary>The verbs that look at the field side without a gateway: <c>gpio</c> and <c>serial</c>; each returns the exit code.</summary>
internal static class FieldCommandLine
{
    private static readonly TimeProvider Time = TimeProvider.System;

    private static LinuxSerialPorts Ports => new(new DriverLines(LinuxGpioChip.Open), Time);

    public static Command Gpio()
    {
        var chip = new Argument<string>("CHIP") { Description = "Label of the chip." };
        var line = new Argument<string>("LINE") { Description = "Number or name of the line." };
        var value = new Argument<int>("VALUE") { Description = "1: active, 0: inactive." };
        value.AcceptOnlyFromAmong("0", "1");
        var low = new Option<bool>("--active-low") { Description = "The line is active at low level." };
        var list = new Command("list", "Show chips, lines and who holds them.");
        list.SetAction(_ => Attempt(() =>
        {
            ListChips();
            return Task.CompletedTask;
        }));
        var get = new Command("get", "Show a line's value, without changing its direction.") { chip, line, low };
        get.SetAction(parsed => Attempt(() => WithLine(parsed, LineFlags.None, active: false, held =>
        {
            Console.WriteLine(held.IsActive ? "1" : "0");
            return Task.CompletedTask;
        })));
        var set = new Command("set", "Make a line an output with this value, and hold it until Ctrl-C.") { chip, line, value, low };
        set.SetAction((parsed, cancel) => Attempt(() => WithLine(parsed, LineFlags.Output, parsed.GetValue(value) == 1, held =>
        {
            Console.WriteLine($"{parsed.GetValue(chip)} {parsed.GetValue(line)} is {parsed.GetValue(value)} until Ctrl-C; the chip may keep it.");
            return Task.Delay(Timeout.Infinite, cancel);
        })));
        return new Command("gpio", "See and switch GPIO lines.") { list, get, set };

        Task WithLine(ParseResult parsed, LineFlags flags, bool active, Func<IGpioLine, Task> use)
        {
            var polarity = parsed.GetValue(low) ? LineFlags.ActiveLow : LineFlags.None;
            return UseLine(parsed.GetValue(chip)!, parsed.GetValue(line)!, flags | polarity, active, use);
        }
    }

    public static Command Serial()
    {
        var port = new Argument<string>("PORT") { Description = "The serial device." };
        var baud = new Option<int>("--baud-rate") { Description = "Bits per second.", DefaultValueFactory = _ => 19_200 };
        var parity = new Option<string>("--parity") { Description = "None, Even, Odd, Mark or Space.", DefaultValueFactory = _ => "None" };
        parity.AcceptOnlyFromAmong("None", "Even", "Odd", "Mark", "Space");
        var mode = new Option<string>("--mode") { Description = "Who switches the transmitter.", DefaultValueFactory = _ => "auto" };
        mode.AcceptOnlyFromAmong("auto", "kernel", "gpio", "rts", "none");
        var de = new Option<string?>("--de") { Description = "Driver enable, for mode gpio.", HelpName = "CHIP:LINE[:low]" };
        var re = new Option<string?>("--re") { Description = "Receiver enable, where it has a line.", HelpName = "CHIP:LINE[:low]" };
        var preDelay = new Option<int>("--pre-delay-us") { Description = "Between switching it on and the first bit." };
        var guard = new Option<double>("--guard-bits") { Description = "Bit times between the last bit and switching it off." };
        var frames = new Option<int>("--frames") { Description = "How many frames to send.", DefaultValueFactory = _ => 100 };
        var bytes = new Option<int>("--bytes") { Description = "Bytes of a frame.", DefaultValueFactory = _ => 32 };
        var test = new Command("rs485-test", "Send frames and show how well the RS485 transmitter is switched.")
        {
            port, baud, parity, mode, de, re, preDelay, guard, frames, bytes,
        };
        test.SetAction((parsed, cancel) => Attempt(async () =>
        {
            var endpoint = new SourceConfig
            {
                Type = EndpointType.Serial, SerialPort = parsed.GetValue(port), BaudRate = parsed.GetValue(baud), Parity = parsed.GetValue(parity)!,
                Rs485 = new()
                {
                    Mode = Enum.Parse<Rs485Mode>(parsed.GetValue(mode)!, ignoreCase: true), De = Line(parsed.GetValue(de)), Re = Line(parsed.GetValue(re)),
                    PreDelayUs = parsed.GetValue(preDelay), GuardBits = parsed.GetValue(guard),
                },
            };
            if (endpoint.Rs485 is { Mode: Rs485Mode.Gpio, De: null }) throw new FormatException("Mode gpio needs --de CHIP:LINE, the line of the transmitter.");
            if (parsed.GetValue(frames) < 1 || parsed.GetValue(bytes) < 1) throw new FormatException("--frames and --bytes must be 1 or more.");
            var run = new Rs485Test(new SerialLines(Ports, Time, NullLogger.Instance), SerialSettings.From(endpoint), Time);
            return await run.RunAsync(parsed.GetValue(frames), parsed.GetValue(bytes), Console.Out, cancel) ? ExitCode.Ok : ExitCode.Failed;
        }));
        return new Command("serial", "Try serial ports; the gateway must not have them open.") { Probe(), test };
    }

    private static Command Probe()
    {
        var port = new Argument<string?>("PORT") { Description = "The serial device; left out: shows which there are.", Arity = ArgumentArity.ZeroOrOne };
        var seconds = new Option<int>("--seconds") { Description = "How long to listen at each setting.", HelpName = "S", DefaultValueFactory = _ => 2 };
        var probe = new Command("probe", "Show the serial ports, or listen on one and find out how its device talks.") { port, seconds };
        probe.SetAction((parsed, cancel) => Attempt(async () =>
        {
            if (parsed.GetValue(seconds) < 1) throw new FormatException("--seconds must be 1 or more.");
            if (parsed.GetValue(port) is { } path)
            {
                var settings = SerialSettings.From(new SourceConfig { Type = EndpointType.Serial, SerialPort = path });
                var fits = await new SerialProbe(Ports, Time).ListenAsync(settings, TimeSpan.FromSeconds(parsed.GetValue(seconds)), Console.Out, cancel);
                return fits ? ExitCode.Ok : ExitCode.Failed;
            }

            var found = SerialProbe.List("/").ToList();
            Console.WriteLine(found.Count == 0 ? "This machine has no serial ports." : string.Join('\n', found));
            return ExitCode.Ok;
        }));
        return probe;
    }

    /// <summary>CHIP:LINE or CHIP:LINE:low; a label may hold colons.</summary>
    private static GpioLineConfig? Line(string? text)
    {
        if (text is null) return null;
        var low = text.EndsWith(":low", StringComparison.Ordinal);
        var name = low ? text[..^4] : text;
        var colon = name.LastIndexOf(':');
        return colon > 0 && colon < name.Length - 1
            ? new GpioLineConfig { Chip = name[..colon], Line = name[(colon + 1)..], ActiveLow = low }
            : throw new FormatException(
                $"{text} is no line: it must look like pinctrl-bcm2711:4 or pinctrl-bcm2711:RS485_DE, with :low where it is active at low level.");
    }

    private static void ListChips()
    {
        var chips = LinuxGpioChip.OpenAll(out var refused);
        foreach (var chip in chips)
        {
            using (chip)
            {
                Console.WriteLine(chip);
                for (var number = 0; number < chip.LineCount; number++) Console.WriteLine("  " + Describe(chip.Look(number)));
            }
        }

        if (refused is not null) throw new IOException(refused);
        if (chips.Count == 0) Console.WriteLine("This machine has no GPIO chips.");
    }

    private static string Describe(GpioLineInfo line) =>
        string.Create(CultureInfo.InvariantCulture, $"{line.Line,3}  {(line.Name.Length > 0 ? line.Name : "-"),-24} {(line.IsOutput ? "output" : "input"),-6}")
        + (line.Flags.HasFlag(LineFlags.ActiveLow) ? " active low" : "")
        + (line.IsUsed ? $"  in use by {line.Holder}" : "");

    private static async Task UseLine(string label, string name, LineFlags flags, bool active, Func<IGpioLine, Task> use)
    {
        using var chip = LinuxGpioChip.Open(label);
        using var line = chip.Request(GpioLineDriver.LineOf(chip, name), flags, active, "iobuffer gpio");
        await use(line);
    }

    private static Task<int> Attempt(Func<Task> action) => Attempt(async () =>
    {
        await action();
        return ExitCode.Ok;
    });

    private static async Task<int> Attempt(Func<Task<int>> action)
    {
        try
        {
            return await action();
        }
        catch (FormatException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return ExitCode.Usage;
        }
        catch (Exception e) when (e is IOException or EndpointException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return ExitCode.IoError;
        }
    }
}
