namespace IoBufferEdge.Tests.Fuzz;

/// <summary>One parser that meets foreign bytes, and what must hold whatever the bytes are.</summary>
internal abstract class FuzzTarget : IDisposable
{
    /// <summary>Also the name of its folder under <c>Fuzz/corpus</c>.</summary>
    public abstract string Name { get; }

    /// <summary>Bytes that mean something to the parser; mutations put them in.</summary>
    public virtual IReadOnlyList<byte[]> Words => [];

    /// <summary>What one input may allocate: a parser's memory must not depend on what the bytes claim.</summary>
    public virtual long AllocatedBytesMax => 64 << 20;

    /// <summary>Throws when the input broke something that must hold; what it throws says what.</summary>
    /// <param name="input">The foreign bytes.</param>
    /// <param name="seen">Told what the parser did, so that inputs that made it do something new are kept and changed further.</param>
    public abstract void Judge(byte[] input, Behaviours seen);

    /// <summary>Longer inputs are cut, but for a long one now and then.</summary>
    protected virtual int InputBytesMax => 1024;

    public virtual byte[] Mutate(byte[] input, byte[] other, Random random) => Mutator.Mutate(input, other, Words, InputBytesMax, random);

    public virtual void Dispose() => GC.SuppressFinalize(this);

    /// <summary>For what reads files: in memory where the system has such a folder.</summary>
    protected static string CreateFolder() => Directory.Exists("/dev/shm")
        ? Directory.CreateDirectory($"/dev/shm/iobuffer-fuzz-{Environment.ProcessId}-{Path.GetRandomFileName()}").FullName
        : Directory.CreateTempSubdirectory("iobuffer-fuzz-").FullName;

    public static FuzzTarget Create(string name) => name switch
    {
        "ack-bytes" => new BytesAckTarget(),
        "ack-mllp" => new MllpAckTarget(),
        "block" => new BlockTarget(),
        "config" => new ConfigTarget(),
        "config-desired" => new DesiredTarget(),
        "control" => new ControlTarget(),
        "log" => new LogTarget(),
        "mark" => new MarkTarget(),
        "modbus" => new ModbusTarget(),
        "mqtt-command" => new MqttCommandTarget(),
        "remote-batch" => new RemoteTarget(),
        "serial-marks" => new SerialMarksTarget(),
        "source-ack" => new SourceAckTarget(),
        _ when FramingTarget.Framings.ContainsKey(name) => new FramingTarget(name),
        _ => throw new ArgumentException($"There is no fuzz target {name}: {string.Join(", ", Names)} are."),
    };

    public static IEnumerable<string> Names =>
        FramingTarget.Framings.Keys
        .Concat(
        [
            "ack-bytes", "ack-mllp", "block", "config", "config-desired", "control", "log", "mark", "modbus", "mqtt-command", "remote-batch",
            "serial-marks", "source-ack",
        ]).Order();
}

/// <summary>What parsers have been seen to do: the poor man's coverage, without instrumented code.</summary>
internal sealed class Behaviours
{
    private readonly HashSet<int> _all = [];

    public int Count => _all.Count;

    /// <summary>Something was seen for the first time since this was last cleared.</summary>
    public bool AnyNew { get; set; }

    public void Saw<T1, T2, T3>(T1 first, T2 second, T3 third) => AnyNew |= _all.Add(HashCode.Combine(first, second, third));
}
