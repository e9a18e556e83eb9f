using IoBufferEdge.Control;

namespace IoBufferEdge.Leds;

/// <summary>
/// What the two LEDs of a gateway show: STAT (green) and ERR (red), for one cause at a time. A pure function of the status; the first
/// cause in <see cref="Causes"/> that holds is shown, and its code stands in the status as well. They show progress, not process: a
/// gateway that has messages waiting, a destination that is there and nothing delivered does not look like one that works.
/// </summary>
/// <param name="Code">The cause, as MQTT, the status and the command line name it.</param>
/// <param name="Meaning">One sentence for who stands before the device.</param>
/// <param name="Remedy">What helps; empty where there is nothing to do.</param>
public sealed record LedPattern(string Code, LedBlink Stat, LedBlink Err, string Meaning, string Remedy)
{
    /// <summary>How long a connected destination may take nothing, and the broker be away, before that shows: above a slow device's answer,
    /// below a person's patience.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>The disk counts as nearly full at this share of the device's quota.</summary>
    private const double NearlyFull = 0.8;

    /// <summary>Without a process: the end of every run leaves the LEDs so.</summary>
    public static LedPattern Stopped { get; } = new("stopped", LedBlink.Off, LedBlink.Off, "The gateway has stopped or is stopping.", "");

    /// <summary>Every cause and when it holds, the most severe first; the last always holds.</summary>
    public static IReadOnlyList<(LedPattern Pattern, Func<GatewayStatus, bool> Holds)> Causes { get; } =
    [
        (new("identify", LedBlink.AlternatingFirst, LedBlink.AlternatingSecond, "Somebody looks for this device (`iobuffer identify`, or its button).", ""),
            s => s.Identifying),
        (Stopped, s => s.State == GatewayState.Stopping),
        (new("starting", LedBlink.Fast, LedBlink.Off, "The gateway starts.", ""), s => s.State == GatewayState.Starting),
        (new("updating", LedBlink.Fast, LedBlink.Fast, "A new version of the image is being installed; messages go on.", ""),
            s => s.Image?.Update is { Status: UpdateState.Installing }),
        Fault("message_loss", LedBlink.FourFlashes, "Messages are missing: damage on the disk, or a ledger that does not balance.",
            "`iobuffer status` names them", s => s.Channels.Any(c => c.Ledger.Imbalance != 0 || c.LostRanges.Count > 0)),
        Fault("storage_failed", LedBlink.FourFlashes, "The disk takes nothing more; sources are held back.",
            "make room, or change the medium", s => s.Store.Error is not null),
        Fault("storage_nearly_full", LedBlink.FourFlashes, "What is buffered fills four fifths of its quota or more.",
            "bring the destination back, or raise `device_max_bytes`",
            s => s.Channels.Sum(c => (double)c.BufferedBytes) >= NearlyFull * s.Store.DeviceMaxBytes
                || s.Channels.Any(c => c.MaxBytes > 0 && c.BufferedBytes >= NearlyFull * c.MaxBytes)),
        Fault("port_fault", LedBlink.TwoFlashes, "A serial port is missing or can't be opened.",
            "look at the cable or adapter", s => s.Channels.Any(c => c.PortFaults.Any())),
        Fault("channel_failed", LedBlink.OneFlash, "An endpoint can't be opened: an address in use, a file that is missing.",
            "`iobuffer status` says which", s => s.Channels.Any(c => c.State == ChannelState.Failed)),
        Fault("config_refused", LedBlink.OneFlash, "The last configuration was refused; the former one goes on.",
            "`iobuffer check`", s => s.ConfigError is not null),
        Fault("provisioning_refused", LedBlink.OneFlash, "What lies in `provision/` on the boot partition was not taken.",
            "read `result.txt` there", s => s.Image?.ProvisioningError is not null),
        Fault("unprovisioned", LedBlink.OneFlash, "No channel is configured yet.",
            "`iobuffer provision`, `iobuffer config apply`, or `config/desired`", s => s.Channels.Count == 0),
        Fault("no_channels", LedBlink.OneFlash, "Every channel is disabled.",
            "enable a channel", s => s.Channels.All(c => c.State == ChannelState.Disabled)),
        Fault("silent", LedBlink.TwoFlashes, "A source is connected and sends nothing (`expect_every_s`).",
            "look at the device", s => HasAlert(s, "silent")),
        Fault("connection_resets", LedBlink.ThreeFlashes, "A destination breaks off again and again.",
            "`iobuffer status` names the ways out", s => HasAlert(s, "destination_resets")),
        State("rejected", LedBlink.ThreeFlashes, "A destination refuses the message at the head of its queue.",
            "mend the receiver, or set `on_reject`", s => s.Channels.Any(c => c.State == ChannelState.Blocked)),
        State("not_delivering", LedBlink.ThreeFlashes, "A destination is connected and takes nothing, though messages wait (30 s).",
            "look at the receiver", s => s.Channels.Any(IsNotDelivering)),
        State("paused", LedBlink.ThreeFlashes, "An operator has paused a channel.",
            "`iobuffer channel resume`", s => s.Channels.Any(c => c.State == ChannelState.Paused)),
        State("buffering", LedBlink.TwoFlashes, "A destination is away; what comes in is kept.",
            "look at the network", s => s.Channels.Any(c => c.State == ChannelState.Waiting && c.MessagesWait)),
        State("offline", LedBlink.TwoFlashes, "A destination is away; nothing waits for it.",
            "look at the network", s => s.Channels.Any(c => c.State == ChannelState.Waiting)),
        Fault("broker_away", LedBlink.ThreeFlashes, "The MQTT broker is not reached (30 s); messages go out all the same.",
            "`iobuffer status` says why", s => s.Mqtt is { Connected: false } broker && s.TakenAt - broker.Since >= Patience),
        Fault("update_failed", LedBlink.OneFlash, "The last update was refused or taken back; the version before it runs.",
            "`iobuffer status` says why; gone with the next update or start", s => s.UpdateFault is not null),
        State("running", LedBlink.Heartbeat, "Every destination is connected; what comes in goes out.", "", _ => true),
    ];

    public static LedPattern Of(GatewayStatus status) => Causes.First(cause => cause.Holds(status)).Pattern;

    /// <summary>STAT goes on beating: somebody is at home to report it.</summary>
    private static (LedPattern, Func<GatewayStatus, bool>) Fault(
        string code, LedBlink err, string meaning, string remedy, Func<GatewayStatus, bool> holds) =>
        (new(code, LedBlink.Heartbeat, err, meaning, remedy), holds);

    private static (LedPattern, Func<GatewayStatus, bool>) State(
        string code, LedBlink stat, string meaning, string remedy, Func<GatewayStatus, bool> holds) =>
        (new(code, stat, LedBlink.Off, meaning, remedy), holds);

    private static bool IsNotDelivering(ChannelStatus channel) =>
        channel.State == ChannelState.Running && channel.MessagesWait && channel.StandingStill >= Patience;

    private static bool HasAlert(GatewayStatus status, string name) => status.Channels.Any(c => c.Alerts.Any(a => a.Key == name));
}
