using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace IoBufferEdge.Tests.Fuzz;

/// <summary>
/// Every parser that meets foreign bytes, on its corpus (<c>Fuzz/corpus/NAME</c>) and on changes to it: a moment each here, as long as
/// you like with <c>scripts/fuzz.sh</c>, which sets the variables below. raw and datagram have no bytes that mean anything, so that
/// there is nothing to fuzz.
/// </summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    /// <summary>Some targets keep files and tables of their own.</summary>
    private const long GrownBytesMax = 16 << 20;

    private static readonly string Corpus = CorpusFolder();
    private static readonly string? OnlyTarget = Environment.GetEnvironmentVariable("IOBUFFER_FUZZ_TARGET");
    private static readonly double Seconds = Number("IOBUFFER_FUZZ_SECONDS", 1.5);
    private static readonly int Seed = (int)Number("IOBUFFER_FUZZ_SEED", 1);

    public static TheoryData<string> Targets =>
        [.. string.IsNullOrEmpty(OnlyTarget) ? FuzzTarget.Names : FuzzTarget.Names.Where(name => name == OnlyTarget)];

    [Theory]
    [MemberData(nameof(Targets))]
    public void Whatever_the_bytes_are(string name)
    {
        using var target = FuzzTarget.Create(name);
        var folder = Path.Combine(Corpus, name);
        var corpus = Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes).ToList();
        Assert.NotEmpty(corpus);

        var result = new Fuzzer(target, corpus, Seed, Console.Error.WriteLine).Run(TimeSpan.FromSeconds(Seconds));
        output.WriteLine($"{name}, seed {Seed}: {result}");
        if (!string.IsNullOrEmpty(OnlyTarget)) Console.Error.WriteLine($"  {name}, seed {Seed}: {result}");
        if (!string.IsNullOrEmpty(OnlyTarget)) Assert.InRange(result.GrownBytes, long.MinValue, GrownBytesMax);
        if (result.Failure is { } failure) Assert.Fail(Save(folder, name, failure));
    }

    [Fact]
    public void Every_corpus_has_its_target() =>
        Assert.Equal(FuzzTarget.Names, Directory.EnumerateDirectories(Corpus).Select(folder => Path.GetFileName(folder)!).Order());

    /// <summary>The fuzzer itself: it finds what is hidden three steps deep, and cuts it down to what matters.</summary>
    [Fact]
    public void A_planted_bug_is_found_and_cut_down()
    {
        var result = new Fuzzer(new PlantedBug(), ["some harmless text"u8.ToArray()], 1, _ => { }).Run(TimeSpan.FromSeconds(60));
        Assert.Equal("XYZ"u8.ToArray(), result.Failure?.Input);
    }

    /// <summary>Into the corpus, where every later run judges it first.</summary>
    private static string Save(string folder, string name, FuzzFailure failure)
    {
        var known = Directory.EnumerateFiles(folder).FirstOrDefault(file => failure.Input.AsSpan().SequenceEqual(File.ReadAllBytes(file)));
        var file = known ?? Path.Combine(folder, $"found-{Convert.ToHexStringLower(SHA256.HashData(failure.Input))[..12]}");
        if (known is null) File.WriteAllBytes(file, failure.Input);
        return $"{failure.Reason}\nThe input ({failure.Input.Length} bytes) is kept in Fuzz/corpus/{name}/{Path.GetFileName(file)}; "
            + $"replay it with: scripts/fuzz.sh {name} 0";
    }

    private static double Number(string variable, double otherwise) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? double.Parse(text, CultureInfo.InvariantCulture) : otherwise;

    private static string CorpusFolder([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "corpus");

    /// <summary>Fails at XYZ, and shows how far along an input is.</summary>
    private sealed class PlantedBug : FuzzTarget
    {
        public override string Name => "planted";

        public override void Judge(byte[] input, Behaviours seen)
        {
            var depth = input.AsSpan().IndexOf("X"u8) < 0 ? 0 : input.AsSpan().IndexOf("XY"u8) < 0 ? 1 : input.AsSpan().IndexOf("XYZ"u8) < 0 ? 2 : 3;
            seen.Saw(depth, 0, 0);
            Assert.NotEqual(3, depth);
        }
    }
}
