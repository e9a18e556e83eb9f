namespace IoBufferEdge.Buffers;

public sealed partial class ChannelBuffer
{
    public bool TryAppendRemote(ReadOnlySpan<byte> payload, MessageFlags flags, in RemoteStamp stamp, out long sequence) => throw new NotImplementedException();

    public HeldMarks HeldFrom(string sender) => throw new NotImplementedException();

    public long? FindKey(UInt128 key) => throw new NotImplementedException();

    public long LifeOf(long sequence, out long lastOfLife) => throw new NotImplementedException();

    public bool Knows(long life) => throw new NotImplementedException();

    public (MessageFlags Flags, MessageOrigin Origin) Describe(in SlabMessage message) => throw new NotImplementedException();

    public ReceiverNote Receiver => throw new NotImplementedException();

    public void NoteReceiver(ReceiverNote note) => throw new NotImplementedException();

    public void BeginLifeAt(long sequence) => throw new NotImplementedException();
}
