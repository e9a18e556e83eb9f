using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints;

namespace IoBufferEdge.Simulation;

/// <param name="Messages">How many messages it sends in all.</param>
/// <param name="GapMaxMs">Pause between two messages, at most; many pauses are none, so that messages come in bursts.</param>
/// <param name="LargeEvery">One message in so many is large; 0: none.</param>
/// <param name="AckWindow">With an acknowledgement: how many may be open.</param>
public sealed record SenderPlan(int Messages, double GapMaxMs, int LengthMax, int LargeEvery, int LargeLength, int AckWindow);

/// <summary>
/// A field device. It connects, sends numbered messages and connects again when the connection breaks. With an acknowledgement it
/// repeats what was not acknowledged, for ever; without one it sends the message again that it could not finish, and forgets the rest.
/// </summary>
public sealed class Sender(Scheduler scheduler, ChannelTruth truth, SenderPlan plan, Wire wire, SimulatedHost host, string gateway, int index)
{
    private static readonly TimeSpan AckTimeout = TimeSpan.FromSeconds(40);

    private readonly Random _random = scheduler.Derive($"sender {truth.Id} {index}");
    private readonly INetwork _network = host.For(scheduler.World);
    private readonly Queue<Transmission> _open = new();
    private readonly Dictionary<int, int> _attempts = [];
    private readonly Queue<int> _again = new();
    private readonly AsyncSignal _heard = new(scheduler.World.Time);
    private IConnection? _connection;
    private int _next = 1;
    private bool _ended;

    /// <summary>Everything is sent, and acknowledged where that is the way.</summary>
    public bool Done { get; private set; }

    public string Describe() => $"sender {truth.Id}/{index}: next {_next} of {plan.Messages}, {_open.Count} open, {_again.Count} to send again";

    private bool Acknowledged => truth.Config.Source.Ack is not null;

    /// <summary>The device's connection breaks.</summary>
    public void Break()
    {
        _connection?.AbortOnDispose();
        _connection?.Dispose();
    }

    public async Task RunAsync()
    {
        using var listener = truth.Config.Source.Type == EndpointType.TcpClient ? _network.Listen("0.0.0.0", truth.Config.Source.Port, new TcpTuning()) : null;
        while (_next <= plan.Messages || _again.Count > 0)
        {
            try
            {
                await ConnectAndSendAsync(listener);
            }
            catch (Exception e) when (e is IOException or EndpointException or ObjectDisposedException)
            {
                // What comes next is another attempt.
            }

            Reclaim();
            await Pause(500);
        }

        Done = true;
    }

    private async Task ConnectAndSendAsync(IListener? listener)
    {
        if (truth.Config.Source.Type == EndpointType.Udp)
        {
            await SendDatagramsAsync();
            return;
        }

        var connection = _connection = listener is null
            ? await _network.ConnectAsync(gateway, truth.Config.Source.Port, new TcpTuning(), default)
            : await listener.AcceptAsync(default);
        using (connection)
        {
            _ended = false;
            var acknowledgements = Acknowledged ? ReadAcknowledgementsAsync(connection) : Task.CompletedTask;
            try
            {
                while (Take() is { } transmission)
                {
                    await SendAllAsync(connection, WireFormat.Encode(transmission.Payload, wire));
                    if (!Acknowledged) _open.Dequeue();
                    if (_random.Next(3) == 0) await Pause(plan.GapMaxMs);
                    await WaitForAcknowledgementsAsync(plan.AckWindow);
                }

                await WaitForAcknowledgementsAsync(1);
            }
            finally
            {
                connection.Dispose();
                await acknowledgements.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            }
        }
    }

    private async Task SendDatagramsAsync()
    {
        using var socket = await _network.OpenDatagramAsync(null, 0, new System.Net.DnsEndPoint(gateway, truth.Config.Source.Port), 0, default);
        while (Take() is { } transmission)
        {
            _open.Dequeue();
            await socket.SendAsync(transmission.Payload, default);
            await Pause(plan.GapMaxMs);
        }
    }

    /// <summary>The next message to send; it is open until it is acknowledged or, without acknowledgement, sent.</summary>
    private Transmission? Take()
    {
        if (!_again.TryDequeue(out var number))
        {
            if (_next > plan.Messages) return null;
            number = _next++;
        }

        var attempt = _attempts[number] = _attempts.GetValueOrDefault(number) + 1;
        var id = new TransmissionId(truth.Number, index, number, attempt);
        var length = plan.LargeEvery > 0 && number % plan.LargeEvery == 0 ? plan.LargeLength : _random.Next(plan.LengthMax);
        var transmission = truth.Send(id, WireFormat.Payload(id, length, wire));
        _open.Enqueue(transmission);
        return transmission;
    }

    /// <summary>After the end of a connection: what is open goes out again, first of all.</summary>
    private void Reclaim()
    {
        var numbers = _open.Select(transmission => transmission.Id.Number).Concat(_again).ToList();
        _open.Clear();
        _again.Clear();
        foreach (var number in numbers) _again.Enqueue(number);
    }

    private async Task WaitForAcknowledgementsAsync(int window)
    {
        if (!Acknowledged) return;
        while (_open.Count >= window)
        {
            if (_ended) throw new IOException("The acknowledgements have ended.");
            if (!await _heard.WaitAsync(AckTimeout)) throw new IOException("No acknowledgement came.");
        }
    }

    /// <summary>Until the connection's end, which wakes the sender too.</summary>
    private async Task ReadAcknowledgementsAsync(IConnection connection)
    {
        try
        {
            var buffer = new byte[4096];
            var reader = new WireReader(Wire.Mllp);
            while (await connection.ReceiveAsync(buffer, default) is > 0 and var count)
            {
                TakeAcknowledgements(buffer.AsSpan(0, count), reader);
                _heard.Set();
            }
        }
        finally
        {
            _ended = true;
            _heard.Set();
        }
    }

    private void TakeAcknowledgements(ReadOnlySpan<byte> bytes, WireReader reader)
    {
        if (truth.Config.Source.Ack!.Type == AckType.Bytes)
        {
            for (var i = 0; i < bytes.Length; i++) Acknowledge(null);
            return;
        }

        foreach (var answer in reader.Feed(bytes))
        {
            var text = Encoding.ASCII.GetString(answer);
            Acknowledge(text[(text.IndexOf("MSA|AA|", StringComparison.Ordinal) + 7)..].Split('|', '\r')[0]);
        }
    }

    private void Acknowledge(string? controlId)
    {
        if (!_open.TryDequeue(out var transmission)) scheduler.Violate($"{truth.Id}: an acknowledgement came although no message is open.");
        else if (controlId is not null && controlId != transmission.Id.ToString())
            scheduler.Violate($"{truth.Id}: {controlId} was acknowledged where {transmission.Id} was the next.");
        else truth.Acknowledged(transmission);
    }

    private static async Task SendAllAsync(IConnection connection, byte[] bytes)
    {
        for (var at = 0; at < bytes.Length;) at += await connection.SendAsync(bytes.AsMemory(at), default);
    }

    private Task Pause(double maxMs) => scheduler.World.Delay(TimeSpan.FromMilliseconds(_random.NextDouble() * maxMs));
}
