using System.Net;
using System.Net.Sockets;

namespace IoBufferEdge.Tests.Control.Mqtt;

/// <summary>A broker by hand: reads packets as they come over the wire, and writes the bytes that it is given.</summary>
internal sealed class RawBroker : IDisposable
{
    /// <summary>MQTT 5, accepted, no properties.</summary>
    public static readonly byte[] Accepted = [0x20, 0x03, 0x00, 0x00, 0x00];

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

    public RawBroker() => _listener.Start();

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Takes a client, reads its CONNECT, and answers. Fails where none comes within 20 s.</summary>
    public async Task<Client> AcceptAsync(byte[] answer)
    {
        var client = new Client(await _listener.AcceptTcpClientAsync().WaitAsync(TimeSpan.FromSeconds(20)));
        client.Connect = (await client.ReadPacketAsync())!;
        await client.WriteAsync(answer);
        return client;
    }

    public void Dispose() => _listener.Dispose();

    internal sealed class Client(TcpClient tcp) : IDisposable
    {
        private readonly NetworkStream _stream = tcp.GetStream();

        public byte[] Connect { get; set; } = [];

        public Task WriteAsync(params byte[] bytes) => _stream.WriteAsync(bytes).AsTask();

        /// <summary>Type byte and body of the next packet, without its length; null at the end.</summary>
        public async Task<byte[]?> ReadPacketAsync()
        {
            try
            {
                var one = new byte[1];
                if (await _stream.ReadAsync(one) == 0) return null;
                var (type, length, shift) = (one[0], 0, 0);
                do
                {
                    await _stream.ReadExactlyAsync(one);
                    length |= (one[0] & 0x7F) << shift;
                    shift += 7;
                }
                while ((one[0] & 0x80) != 0);
                var packet = new byte[1 + length];
                packet[0] = type;
                await _stream.ReadExactlyAsync(packet.AsMemory(1));
                return packet;
            }
            catch (IOException)
            {
                return null;
            }
        }

        /// <summary>A PUBLISH of QoS 1 with a one-byte topic.</summary>
        public Task PublishAsync(int id, string payload) => WriteAsync(
            [0x32, (byte)(6 + payload.Length), 0, 1, (byte)'t', (byte)(id >> 8), (byte)id, 0, .. System.Text.Encoding.ASCII.GetBytes(payload)]);

        public void Dispose() => tcp.Dispose();
    }
}
