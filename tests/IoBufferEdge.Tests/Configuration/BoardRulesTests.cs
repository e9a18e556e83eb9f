using IoBufferEdge.Configuration;
using static IoBufferEdge.Tests.Configuration.Document;

namespace IoBufferEdge.Tests.Configuration;

public sealed class BoardRulesTests
{
    [Fact]
    public void A_port_of_the_board_brings_its_device_and_its_rs485()
    {
        var source = Read("revpi-connect", """{"type":"serial","port":"rs485-1","baud_rate":19200}""").Config!.Channels[0].Source;
        Assert.Equal(("/dev/ttyAMA0", Rs485Mode.Kernel, 19_200), (source.SerialPort, source.Rs485.Mode, source.BaudRate));
    }

    [Fact]
    public void A_board_names_its_lines_by_number_or_by_name()
    {
        Assert.Equal("rs485-de", Read("lab-uml", """{"type":"serial","port":"rs485-1"}""").Config!.Channels[0].Source.Rs485.De!.Line);
        Assert.Equal("27", Read("rpi4-dual-max485", """{"type":"serial","port":"rs485-1"}""").Config!.Channels[0].Source.Rs485.De!.Line);
    }

    [Fact]
    public void What_the_channel_says_stands()
    {
        var source = Read("revpi-connect", """{"type":"serial","port":"rs485-1","rs485":{"mode":"none"},"low_latency":false}""").Config!.Channels[0].Source;
        Assert.Equal(("/dev/ttyAMA0", Rs485Mode.None, false), (source.SerialPort, source.Rs485.Mode, source.LowLatency));
    }

    [Fact]
    public void A_path_is_a_path_on_every_board()
    {
        var source = Read("revpi-connect", """{"type":"serial","port":"/dev/ttyAMA0"}""").Config!.Channels[0].Source;
        Assert.Equal(Rs485Mode.Auto, source.Rs485.Mode);
    }

    [Theory]
    [InlineData("revpi-connect", "rs485-9",
        "error: channels[0].source.port: must be a device's path or a port of the board revpi-connect, but is \"rs485-9\": it has rs485-1")]
    [InlineData("revpi-conect", "rs485-1",
        "error: device.board: must be a board that is known, but is \"revpi-conect\": known are lab-uml, recomputer-r1000, revpi-connect, "
        + "rpi4-dual-max485, rpi4-waveshare-rs485-can, x86-generic")]
    public void One_sentence_says_what_there_is(string board, string port, string problem) =>
        Assert.Equal([problem], Read(board, $$"""{"type":"serial","port":"{{port}}"}""").Problems.Select(p => p.ToString()));

    [Fact]
    public void The_boards_button_switches_no_transmitter() =>
        Assert.Equal(
            ["error: channels[0].source.rs485: uses line btn-reset of iobuf-gpio, which is the button of the board lab-uml: one line, one port"],
            Read("lab-uml", """{"type":"serial","port":"/dev/ttyS0","rs485":{"mode":"gpio","de":{"chip":"iobuf-gpio","line":"btn-reset"}}}""")
                .Problems.Select(p => p.ToString()));

    [Theory]
    [InlineData("3", "3")]
    [InlineData("\"led-mqtt\"", "led-mqtt")]
    public void One_line_switches_one_port(string json, string words)
    {
        var line = $$"""
            "rs485":{"mode":"gpio","de":{"chip":"iobuf-gpio","line":{{json}}} }
            """;
        var result = Parse(Document(
            $$"""{"type":"serial","port":"/dev/ttyS0",{{line}}}""", $$"""{"type":"serial","port":"/dev/ttyS1",{{line}}}"""));
        Assert.Contains(
            $"error: channels[0].destination.rs485: uses line {words} of iobuf-gpio, which switches /dev/ttyS0 of channels[0].source: one line, one port",
            result.Problems.Select(p => p.ToString()));
    }

    private static ConfigResult Read(string board, string source) =>
        Parse(Document(source, """{"type":"tcp_client","host":"h","port":1}""", $"\"device\":{{\"board\":\"{board}\"}},"));

    private static string Document(string source, string destination, string device = "") =>
        $$"""{"schema_version":1,{{device}}"channels":[{"id":"a","source":{{source}},"destination":{{destination}}}]}""";
}
