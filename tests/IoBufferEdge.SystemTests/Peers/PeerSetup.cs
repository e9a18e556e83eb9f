using IoBufferEdge.Benchmarks.Load;

namespace IoBufferEdge.SystemTests.Peers;

/// <summary>How the peers are set up on either side of the gateway. Everything of theirs lies in <paramref name="folder"/>.</summary>
public sealed class PeerSetup(string folder)
{
    /// <summary>What the receiving peer has written.</summary>
    public string Output { get; } = Path.Combine(folder, "output");

    /// <summary>What the sending peer says it has written to the gateway, where it can say so.</summary>
    public string Record { get; } = Path.Combine(folder, "record");

    /// <summary>A serial port's two ends: the test's, and ser2net's.</summary>
    public string Line { get; } = Path.Combine(folder, "tty");

    /// <summary>Listens on a port and writes what comes to <see cref="Output"/>.</summary>
    public PeerProcess Receiving(string name, int port) => name switch
    {
        "socat" => new PeerProcess("socat", "-u", $"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", $"OPEN:{Output},creat,append"),
        "rsyslog" => Rsyslog(port, $"""action(type="omfile" file="{Output}" template="message")"""),
        "syslog-ng" => SyslogNg(port, $$"""file("{{Output}}" template("${MSG}\n") flush-lines(1))"""),
        "ser2net" => Ser2Net(port),
        _ => throw new ArgumentOutOfRangeException(nameof(name)),
    };

    /// <summary>Listens on a port and sends what comes to the gateway: a client of <paramref name="gatewayPort"/>, but ser2net, which
    /// lets the gateway come to it.</summary>
    public PeerProcess Sending(string name, int port, int gatewayPort) => name switch
    {
        "socat" => new PeerProcess(
            "socat", "-u", "-r", Record, $"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", $"TCP:127.0.0.1:{gatewayPort}"),
        "rsyslog" => Rsyslog(port, $"""
            action(type="omfwd" target="127.0.0.1" port="{gatewayPort}" protocol="tcp" template="bare" queue.type="Direct"
              action.resumeRetryCount="-1" action.resumeInterval="1")
              action(type="omfile" file="{Record}" template="message")
            """),
        "syslog-ng" => SyslogNg(port, $$"""network("127.0.0.1" port({{gatewayPort}}) transport(tcp) template("${MSG}\n") time-reopen(1))"""),
        "ser2net" => Ser2Net(gatewayPort),
        _ => throw new ArgumentOutOfRangeException(nameof(name)),
    };

    /// <summary>The other end of the serial port that ser2net opens: a pseudo terminal whose bytes go to <see cref="Output"/>.</summary>
    public PeerProcess SerialDevice() => new("socat", "-u", $"PTY,link={Line},raw,echo=0", $"OPEN:{Output},creat,append");

    /// <summary>
    /// The same, whose bytes come from whoever connects to a port. It outlives that connection: without a line ser2net would send its own
    /// complaint, "Device open failure", to each client.
    /// </summary>
    public PeerProcess SerialDevice(int port) =>
        new("socat", "-U", $"PTY,link={Line},raw,echo=0", $"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,ignoreeof");

    private string Write(string name, string text)
    {
        var file = Path.Combine(folder, name);
        File.WriteAllText(file, text);
        return file;
    }

    /// <summary>Without a queue of its own: a message is written before the next is looked at.</summary>
    private PeerProcess Rsyslog(int port, string actions) => new(
        "rsyslogd", "-n", "-i", Path.Combine(folder, "rsyslog.pid"), "-M", PeerProcess.Modules("imptcp.so"), "-f",
        Write("rsyslog.conf", $$"""
            global(workDirectory="{{folder}}" net.enableDNS="off" parser.escapeControlCharactersOnReceive="off" maxMessageSize="64k")
            module(load="imptcp")
            template(name="message" type="string" string="%rawmsg%\n")
            template(name="bare" type="string" string="%rawmsg%")
            input(type="imptcp" address="127.0.0.1" port="{{port}}" ruleset="r" supportOctetCountedFraming="off")
            ruleset(name="r" queue.type="Direct") {
              {{actions}}
            }

            """));

    /// <summary>With its flow control: what it has read and not written is bounded by its window.</summary>
    private PeerProcess SyslogNg(int port, string destination) => new(
        "syslog-ng", "-F", "--no-caps", "--stderr", "-p", Path.Combine(folder, "ng.pid"), "-c", Path.Combine(folder, "ng.ctl"),
        "-R", Path.Combine(folder, "ng.persist"), $"--module-path={PeerProcess.Modules("libafsocket.so")}", "-f",
        Write("syslog-ng.conf", $$"""
            @version: 3.38
            options { use-dns(no); dns-cache(no); stats-freq(0); };
            source s { network(ip(127.0.0.1) port({{port}}) transport(tcp) flags(no-parse) log-iw-size(1000) max-connections(10)); };
            destination d { {{destination}}; };
            log { source(s); destination(d); flags(flow-control); };

            """));

    private PeerProcess Ser2Net(int port) => new(
        "ser2net", "-n", "-d", "-c", Write("ser2net.yaml", $"""
            %YAML 1.1
            ---
            connection: &line
              accepter: tcp,127.0.0.1,{port}
              connector: serialdev(nouucplock=true),{Line},115200n81,local
              options:
                kickolduser: true

            """));
}
