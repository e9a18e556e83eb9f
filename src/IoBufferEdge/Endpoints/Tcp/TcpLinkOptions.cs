using IoBufferEdge.Configuration;
using IoBufferEdge.Endpoints.Framing;

namespace IoBufferEdge.Endpoints.Tcp;

/// <summary>What a link needs to know of its destination.</summary>
/// <param name="Confirm">What counts as delivered.</param>
/// <param name="Hold"><c>hold_ms</c>, <c>transport</c> only.</param>
/// <param name="Encoder">The destination's own framing; null: messages go out as they are.</param>
/// <param name="Pacer">The destination's, for all its links; null: no pacing.</param>
/// <param name="Encrypted">TLS: offsets of the output are known at the end of each write only.</param>
/// <param name="Tap">Shows what goes over the line; null: nobody can look.</param>
internal sealed record TcpLinkOptions(ConfirmConfig Confirm, TimeSpan Hold, FrameEncoder? Encoder, MessagePacer? Pacer, bool Encrypted, EndTap? Tap = null);

/// <summary>What links count for their destination.</summary>
internal sealed class TcpLinkCounters
{
    public readonly EventCounter Naks = new("naks");
    public readonly EventCounter UnrelatedAcks = new("unrelated_acks");
    public readonly EventCounter AckTimeouts = new("ack_timeouts");
    public readonly EventCounter DisorderlyEnds = new("disorderly_ends");
}
