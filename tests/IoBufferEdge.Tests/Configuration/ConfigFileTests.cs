using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;
using static IoBufferEdge.Tests.Configuration.Document;

namespace IoBufferEdge.Tests.Configuration;

/// <summary>Files: the configuration's own, and those it names.</summary>
public sealed class ConfigFileTests : IDisposable
{
    private static readonly DateTimeOffset Begin = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly string _folder = Directory.CreateTempSubdirectory("iobuffer-config-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void File_names_start_at_the_configurations_folder()
    {
        var (certificate, key) = NewCertificate();
        Write("c.pem", certificate);
        Write("k.pem", key);
        var tls = """ "tls":{"enabled":true,"cert":"c.pem","key":"k.pem","ca":"c.pem","verify_peer":true} """;
        var result = ConfigFile.Load(Write("gateway.json", Of(Channel(With(TcpSource, tls)))));
        Assert.Empty(result.Problems);
        Assert.Equal(Path.Combine(_folder, "c.pem"), result.Config!.Channels[0].Source.Tls.Cert);
    }

    [Fact]
    public void What_stands_in_certificate_files_is_judged_but_never_quoted()
    {
        var (certificate, key) = NewCertificate();
        Write("c.pem", certificate);
        Write("k.pem", NewCertificate().Key);
        Write("no.pem", "secret" + key[..60]);
        string[] Judge(string tls) =>
            [.. ConfigFile.Parse(Encoding.UTF8.GetBytes(Of(Channel(With(TcpSource, $"\"tls\":{{\"enabled\":true,{tls}}}")))), _folder)
                .Problems.Select(p => p.ToString().Replace(_folder, "", StringComparison.Ordinal))];

        Assert.Equal(["error: channels[0].source.tls.key: names \"/k.pem\", which holds no unencrypted PEM key that belongs to cert"],
            Judge(""" "cert":"c.pem","key":"k.pem" """));
        Assert.Equal(["error: channels[0].source.tls.cert: names \"/no.pem\", which holds no certificate in PEM form"],
            Judge(""" "cert":"no.pem","key":"k.pem" """));
        Directory.CreateDirectory(Path.Combine(_folder, "d"));
        Assert.Equal(["error: channels[0].source.tls.cert: names \"/d\", which is a folder"], Judge(""" "cert":"d","key":"k.pem" """));
        Write("k.pem", key);
        Assert.Equal(["warning: channels[0].source.tls.ca: has no effect: clients are asked for a certificate only with verify_peer: true",
            "error: channels[0].source.tls.ca: names \"/no.pem\", which holds no certificate in PEM form", ],
            Judge(""" "cert":"c.pem","key":"k.pem","ca":"no.pem" """));
    }

    [Fact]
    public void A_file_of_another_kind_is_refused_unread()
    {
        var file = Path.Combine(_folder, "big");
        using (var handle = File.OpenHandle(file, FileMode.CreateNew, FileAccess.Write))
            RandomAccess.SetLength(handle, ConfigFile.MaxBytes + 1);
        var result = ConfigFile.Load(file);
        Assert.Null(result.Config);
        Assert.Equal($"error: $: is larger than {ConfigFile.MaxBytes} bytes: a configuration is a JSON document of a few kilobytes",
            Assert.Single(result.Problems).ToString());
    }

    [Fact]
    public void Check_says_everything_in_lines_and_an_exit_code()
    {
        var good = Write("good.json", Of(Channel() + "," + Channel("""{"type":"udp","host":"127.0.0.1","port":1}""", id: "b")));
        var odd = Write("odd.json", Of(Channel(), ", \"mqtt\":{\"host\":\"h\"}"));
        var bad = Write("bad.json", Of(Channel(), ", \"device\":{\"x\":1,\"y\":1},\"mqtt\":{\"host\":\"h\"}"));
        var none = Path.Combine(_folder, "none.json");
        Assert.Equal((0, $"{good}: ok, 2 channels\n"), Check(good));
        const string Warning = "warning: device.id: is left out: topics carry it, and without one nothing is sent to the broker";
        Assert.Equal((0, $"{Warning}\n{odd}: ok, 1 channel, 1 warning\n"), Check(odd));
        Assert.Equal((78, "error: device.x: is not a key; known here: id, board\nerror: device.y: is not a key; known here: id, board\n"
            + $"warning: device.id: is left out: topics carry it, and without one nothing is sent to the broker\n{bad}: 2 errors, 1 warning\n"), Check(bad));
        Assert.Equal((74, $"{none}: cannot be read: there is no such file\n"), Check(none));
        Assert.Equal((74, $"{_folder}: cannot be read: it is a folder\n"), Check(_folder));
        Assert.Equal((74, "a\0b: cannot be read: this is not the name of a file\n"), Check("a\0b"));
    }

    [Fact]
    public void Check_names_secrets_that_are_missing()
    {
        var secrets = new SecretStore(Path.Combine(_folder, "secrets"), null);
        const string destination = """
            {"type":"remote_icombuffer","url":"https://x:1","channel_id":"c","auth":{"username":"u","password_secret":"relay.v2"}}
            """;
        var file = Write("named.json", Of(Channel(destination: destination), ", \"device\":{\"id\":\"gw\"}"));
        Assert.Equal(
            [$"warning: channels[0].destination.auth.password_secret: names the secret \"relay.v2\", which is not in {secrets.Folder}: "
                + "set it with iobuffer secret set"],
            ConfigFile.Load(file, secrets).Problems.Select(p => p.ToString()));
        secrets.Set("relay.v2", "hunter22"u8);
        Assert.Empty(ConfigFile.Load(file, secrets).Problems);
    }

    private static (int, string) Check(string file)
    {
        var output = new StringWriter { NewLine = "\n" };
        return (ConfigCheck.Run(file, output), output.ToString());
    }

    private string Write(string name, string text)
    {
        var file = Path.Combine(_folder, name);
        File.WriteAllText(file, text);
        return file;
    }

    private static (string Certificate, string Key) NewCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=gateway", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(Begin, Begin.AddYears(100));
        return (certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem());
    }
}
