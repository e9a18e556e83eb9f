using System.Text;
using System.Text.Json;
using IoBufferEdge.Secrets;
using IoBufferEdge.Tests.Support;

namespace IoBufferEdge.Tests.Secrets;

/// <summary>A secret planted in every place that can hold one, and looked for in what comes out.</summary>
public sealed class RedactorTests : IDisposable
{
    private const string Literal = "literal-pass-1", Hash = "pbkdf2-hash-2", InFile = "file-pass-3", InStore = "store-pass-4", InUrl = "url-pass-5";

    private static readonly string[] Planted = [Literal, Hash, InFile, InStore, InUrl];

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-redactor-").FullName;
    private readonly SecretStore _secrets;
    private readonly Redactor _redactor;

    public RedactorTests()
    {
        _secrets = new SecretStore(Path.Combine(_folder, "secrets"), null);
        _redactor = new Redactor(_secrets);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Nothing_planted_comes_out_of_text_or_JSON()
    {
        File.WriteAllText(Path.Combine(_folder, "pw"), InFile + "\n");
        var document = Encoding.UTF8.GetBytes(Document);
        _redactor.Learn(document, _folder);
        _secrets.Set("relay", Encoding.UTF8.GetBytes(InStore + "\n"));

        var text = _redactor.Redact($"{string.Join(" and ", Planted[..4])}; https://u:{InUrl}@h:1/x, ftp://{InUrl}@h");
        Assert.Equal("*** and *** and *** and ***; https://***@h:1/x, ftp://***@h", text);
        Clean(_redactor.RedactJson(document));
        Clean(_redactor.RedactJson(JsonSerializer.SerializeToUtf8Bytes(Planted[..4].ToDictionary(p => p, p => $"\"{p}\\"))));
    }

    [Fact]
    public void A_private_key_does_not_come_out_line_by_line_either()
    {
        using var certificates = new TestCertificates();
        var key = File.ReadAllText(certificates.Issue("gateway").Key);
        File.WriteAllText(Path.Combine(_folder, "key.pem"), key);
        _redactor.Learn("""{"tls":{"key":"key.pem"}}"""u8, _folder);
        foreach (var line in key.Split('\n').Where(l => !l.StartsWith('-') && l.Length >= Redactor.MinLength))
            Assert.Equal("error near *** here", _redactor.Redact($"error near {line} here"));
        Assert.Equal("the key is ***", _redactor.Redact($"the key is {key.Trim()}"));
    }

    [Fact]
    public void A_secret_that_changes_is_known_at_once_and_so_is_a_file()
    {
        var file = Path.Combine(_folder, "pw");
        _redactor.Learn("""{"password_file":"pw"}"""u8, _folder);
        for (var i = 0; i < 20; i++)
        {
            _secrets.Set("relay", Encoding.UTF8.GetBytes($"in the store {i}"));
            File.WriteAllText(file, new string('x', i) + "in the file");
            Assert.Equal("*** ***", _redactor.Redact($"in the store {i} {new string('x', i)}in the file"));
        }
    }

    [Theory]
    [InlineData("""{"a":1,"b":[true,null,-1.5e3],"c":{"d":"text"}}""", null)]
    [InlineData("""{"password":{"deep":["hunter22"]},"b":1}""", """{"password":"***","b":1}""")]
    [InlineData("""{"password_hash":12345678,"password":null}""", """{"password_hash":"***","password":"***"}""")]
    [InlineData("\"://a@b://c@d\"", "\"://***@b://***@d\"")]
    [InlineData("17", null)]
    public void JSON_stays_JSON(string json, string? expected) =>
        Assert.Equal(expected ?? json, Encoding.UTF8.GetString(_redactor.RedactJson(Encoding.UTF8.GetBytes(json))));

    [Fact]
    public void A_wrong_document_teaches_what_stands_before_its_fault_and_old_ones_are_forgotten()
    {
        _redactor.Learn("""{"password":"hunter22","x":"""u8, _folder);
        Assert.Equal("***", _redactor.Redact("hunter22"));
        for (var i = 0; i < 1000; i++) _redactor.Learn(Encoding.UTF8.GetBytes($$"""{"password":"offered {{i}}"}"""), _folder);
        Assert.Equal("hunter22 *** ***", _redactor.Redact("hunter22 offered 999 offered 997"));
    }

    [Fact]
    public void A_short_value_is_marked_under_its_key_alone()
    {
        _redactor.Learn("""{"password":"tcp"}"""u8, _folder);
        Assert.Equal("tcp_server", _redactor.Redact("tcp_server"));
        Assert.Equal("""{"password":"***"}""", Encoding.UTF8.GetString(_redactor.RedactJson("""{"password":"tcp"}"""u8)));
    }

    private static string Document => $$"""
        {"schema_version":1,"mqtt":{"host":"h","username":"u","password_file":"pw"},
         "channels":[{"id":"a","source":{"type":"remote_icombuffer","auth":{"username":"u","password_hash":"{{Hash}}"} },
                      "destination":{"type":"remote_icombuffer","url":"https://u:{{InUrl}}@h:1","auth":{"username":"u","password":"{{Literal}}"} } }]}
        """;

    private static void Clean(byte[] output)
    {
        using var json = JsonDocument.Parse(output);
        var text = Encoding.UTF8.GetString(output);
        foreach (var planted in Planted) Assert.DoesNotContain(planted, text, StringComparison.Ordinal);
    }
}
