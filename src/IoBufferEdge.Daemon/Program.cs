using System.CommandLine;
using IoBufferEdge;
using IoBufferEdge.Configuration;
using IoBufferEdge.Daemon;
using IoBufferEdge.Endpoints;
using IoBufferEdge.Secrets;

var config = new Option<string?>("--config") { Description = "Configuration file; left out, the built-in one runs.", HelpName = "FILE" };
var data = new Option<string>("--data")
{
    Description = "Data folder: store, high-water mark, control socket.", HelpName = "DIR", DefaultValueFactory = _ => "/var/lib/iobuffer",
};
var json = new Option<bool>("--json") { Description = "Answer as JSON." };
var watch = new Option<bool>("--watch") { Description = "Show it again every second until Ctrl-C." };
var file = new Argument<string>("FILE") { Description = "Configuration file." };
var yes = new Option<bool>("--yes") { Description = "Do not ask." };
var channel = new Argument<string>("CHANNEL") { Description = "Id of a channel, or of a queue that has lost its channel." };
channel.CompletionSources.Add(context => ControlCommandLine.ChannelsOf(DataFolder.ControlSocketOf(context.ParseResult.GetValue(data)!)));

var run = new Command("run", "Run the gateway in the foreground.") { config, data };
run.SetAction((parsed, _) => new GatewayHost(parsed.GetValue(config), parsed.GetValue(data)!).RunAsync());

var check = new Command("check", "Check a configuration file: every problem at once.") { file, data };
check.SetAction(parsed => ConfigCheck.Run(parsed.GetValue(file)!, Console.Out, SecretStore.Of(parsed.GetValue(data)!)));

var status = new Command("status", "Show what the running gateway does.") { data, json, watch };
status.SetAction((parsed, cancel) => Client(parsed).StatusAsync(parsed.GetValue(watch), cancel));

var reload = new Command("reload", "Make the running gateway read its configuration file again, and wait for the outcome.") { data, json };
reload.SetAction((parsed, cancel) => Client(parsed).AskAsync("reload", null, cancel));

var identify = new Command("identify", "Let the LEDs of this device alternate for a minute.") { data, json };
identify.SetAction((parsed, cancel) => Client(parsed).AskAsync("identify", null, cancel));

var channelList = new Command("list", "Show the channels.") { data, json };
channelList.SetAction((parsed, cancel) => Client(parsed).ListChannelsAsync(cancel));
var acceptLoss = new Option<bool>("--accept-loss") { Description = "The other instance has lost messages: go on from what it holds." };
var resend = new Option<bool>("--resend") { Description = "The other instance takes what waits here no more: send it as new." };
var resume = new Command("resume", "Let delivery go on.") { channel, acceptLoss, resend, data, json };
resume.Validators.Add(result =>
{
    if (result.GetValue(acceptLoss) && result.GetValue(resend)) result.AddError("Give --accept-loss or --resend, not both.");
});
resume.SetAction((parsed, cancel) => Client(parsed).ResumeAsync(
    parsed.GetValue(channel)!, parsed.GetValue(acceptLoss) ? ResumeChoice.AcceptLoss : parsed.GetValue(resend) ? ResumeChoice.Resend : null, cancel));
var channels = new Command("channel", "See and steer channels.")
{
    channelList,
    OnChannel("channel pause", "Hold delivery back; receiving goes on."),
    resume,
    OnChannel("channel retry", "Try again now instead of waiting out the backoff."),
};

var count = new Option<int>("--count") { Description = "So many messages at most.", HelpName = "N", DefaultValueFactory = _ => 10 };
var format = new Option<string>("--format")
{
    Description = "jsonl: an object a message; raw: the payloads alone.", HelpName = "jsonl|raw", DefaultValueFactory = _ => "jsonl",
};
format.AcceptOnlyFromAmong("jsonl", "raw");
var peek = new Command("peek", "Show the oldest messages that wait.") { channel, count, data, json };
peek.SetAction((parsed, cancel) => Queue(parsed).PeekAsync(parsed.GetValue(channel)!, parsed.GetValue(count), cancel));
var export = new Command("export", "Write a copy of all that wait to standard output; they stay where they are.") { channel, format, data };
export.SetAction((parsed, cancel) =>
    Queue(parsed).ExportAsync(parsed.GetValue(channel)!, parsed.GetValue(format) == "raw", Console.OpenStandardOutput(), cancel));
var from = new Option<long>("--from") { Description = "The first number wanted; left out: all that is kept.", HelpName = "N" };
var upTo = new Option<long?>("--up-to") { Description = "The last number wanted.", HelpName = "N" };
var replay = new Command("replay", "Send delivered messages once more that retain_bytes keeps: copies go to the end of the queue.")
{
    channel, from, upTo, data, json,
};
replay.SetAction((parsed, cancel) =>
    Queue(parsed).ReplayAsync(parsed.GetValue(channel)!, parsed.GetValue(from), parsed.GetValue(upTo), cancel));
var purge = new Command("purge", "Discard all that wait now, for good; a queue that has lost its channel is forgotten.") { channel, yes, data, json };
purge.SetAction((parsed, cancel) => Queue(parsed).PurgeAsync(parsed.GetValue(channel)!, parsed.GetValue(yes), cancel));
var queues = new Command("queue", "See to what waits in a channel's buffer.") { peek, export, replay, purge };

var hex = new Option<bool>("--hex") { Description = "The bytes in hex instead of as text." };
var tap = new Command("tap", "Show what goes over a channel's lines, live, until Ctrl-C.") { channel, hex, data, json };
tap.SetAction((parsed, cancel) =>
    new TapCommandLine(Client(parsed), parsed.GetValue(hex), parsed.GetValue(json), Console.Out, Console.Error).RunAsync(parsed.GetValue(channel)!, cancel));

var boardId = new Argument<string>("ID") { Description = "Id of a board, for device.board in the configuration." };
var boardList = new Command("list", "Show the boards that are known.");
boardList.SetAction(_ => BoardCommandLine.List(Console.Out));
var boardShow = new Command("show", "Show a board's ports, LEDs and parts, each with its source.") { boardId, json };
boardShow.SetAction(parsed => BoardCommandLine.Show(parsed.GetValue(boardId)!, parsed.GetValue(json), Console.Out, Console.Error));
var boards = new Command("board", "The boards that are built in.") { boardList, boardShow };

var passwd = new Command("passwd", "Read a password from standard input and print its hash, for password_hash of a remote source.");
passwd.SetAction(_ => PasswordCommandLine.Run(Console.Out, Console.Error));

var version = new Command("version", "Show the version.");
version.SetAction(_ => Console.WriteLine($"iobuffer {GatewayHost.Version}"));

var root = new RootCommand("IoBufferEdge: receives messages, keeps them through outages, delivers them in order.")
{
    run, check, status, reload, identify, channels, tap, queues, ParkCommandLine.Command(channel, yes, data, json, Client),
    ConfigCommandLine.Command(data, json, Client), ProvisionCommandLine.Command(data, json),
    StoreCommandLine.Command(yes, data, json), boards, FieldCommandLine.Serial(), FieldCommandLine.Gpio(), passwd,
    SecretCommandLine.Command(data, json), SelfTestCommandLine.Command(data, json), SupportCommandLine.Command(data), version,
};
var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors) Console.Error.WriteLine(error.Message);
    Console.Error.WriteLine("iobuffer --help shows what can be asked.");
    return ExitCode.Usage;
}

// Signals are handled by `run` itself; elsewhere Ctrl-C ends the process.
return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null, EnableDefaultExceptionHandler = false });

Command OnChannel(string name, string description)
{
    var command = new Command(name.Split(' ')[1], description) { channel, data, json };
    command.SetAction((result, cancel) => Client(result).AskAsync(name, result.GetValue(channel), cancel));
    return command;
}

QueueCommandLine Queue(ParseResult result) => new(Client(result), result.GetValue(json), Console.Out, Console.Error);

ControlCommandLine Client(ParseResult result) =>
    new(DataFolder.ControlSocketOf(result.GetValue(data)!), result.GetValue(json), Console.Out, Console.Error);
