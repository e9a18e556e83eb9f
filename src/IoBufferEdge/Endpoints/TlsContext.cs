using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using IoBufferEdge.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace IoBufferEdge.Endpoints;

/// <summary>
/// One endpoint's TLS: certificate, key and authorities from PEM files. They are read again at the first handshake after any of them
/// has changed; files that do not fit together then (a renewal half way) leave the former ones in use, with a warning. TLS 1.2 and
/// 1.3; revocation is not checked, the gateway may have no way to the list.
/// </summary>
public sealed class TlsContext
{
    private readonly TlsConfig _config;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    private Material _material;
    private string _stamp;

    private TlsContext(TlsConfig config, ILogger log, Material material, string stamp) =>
        (_config, _log, _material, _stamp) = (config, log, material, stamp);

    /// <summary>Reads the files.</summary>
    /// <exception cref="EndpointException">A file is missing, unreadable or not PEM, or certificate and key do not belong together.</exception>
    public static TlsContext Load(TlsConfig config, ILogger? log = null)
    {
        var stamp = Stamp(config);
        return new TlsContext(config, log ?? NullLogger.Instance, Read(config), stamp);
    }

    /// <summary>For a server that makes its handshakes itself; asked for at each of them.</summary>
    /// <exception cref="EndpointException">There is no certificate for a server.</exception>
    public SslServerAuthenticationOptions ServerOptions(params IReadOnlyList<SslApplicationProtocol> protocols)
    {
        var options = ServerOptions((_, _, _, errors) => !VerifiesClients || errors == SslPolicyErrors.None);
        options.ApplicationProtocols = [.. protocols];
        return options;
    }

    /// <exception cref="EndpointException">There is no certificate for a server.</exception>
    internal SslServerAuthenticationOptions ServerOptions(RemoteCertificateValidationCallback validate)
    {
        var material = Current();
        if (material.Certificate is null) throw new EndpointException("tls: a server needs cert and key.");
        return new SslServerAuthenticationOptions
        {
            ServerCertificateContext = material.Certificate,
            ClientCertificateRequired = VerifiesClients,
            RemoteCertificateValidationCallback = validate,
            CertificateChainPolicy = Policy(material),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        };
    }

    internal SslClientAuthenticationOptions ClientOptions(string targetHost, RemoteCertificateValidationCallback validate)
    {
        var material = Current();
        return new SslClientAuthenticationOptions
        {
            TargetHost = targetHost,
            ClientCertificateContext = material.Certificate,
            RemoteCertificateValidationCallback = validate,
            CertificateChainPolicy = Policy(material),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        };
    }

    /// <summary>A client's handshake over a stream, with the files as they are now. On failure the stream is closed.</summary>
    /// <exception cref="EndpointException">One sentence with the host and the reason.</exception>
    internal async ValueTask<Stream> SecureAsync(Stream stream, string host, List<SslApplicationProtocol> protocols, CancellationToken cancel)
    {
        string? refusal = null;
        var secured = new SslStream(stream);
        try
        {
            var options = ClientOptions(host, (_, certificate, chain, errors) =>
            {
                if (!VerifiesServer || errors == SslPolicyErrors.None) return true;
                refusal = TlsConnection.Refusal(certificate, chain, errors);
                return false;
            });
            if (protocols.Count > 0) options.ApplicationProtocols = protocols;
            await secured.AuthenticateAsClientAsync(options, cancel);
            return secured;
        }
        catch (Exception e)
        {
            await secured.DisposeAsync();
            if (e is not (AuthenticationException or IOException)) throw;
            throw new EndpointException($"TLS with {host} failed: {refusal ?? TlsConnection.Reason(e)}.", e);
        }
    }

    /// <summary>A server with a <c>ca</c> verifies its clients unless told not to.</summary>
    internal bool VerifiesClients => _config.VerifyPeer ?? _config.Ca is not null;

    internal bool VerifiesServer => _config.VerifyPeer ?? true;

    private static X509ChainPolicy Policy(Material material)
    {
        var policy = new X509ChainPolicy { RevocationMode = X509RevocationMode.NoCheck };
        if (material.Authorities is null) return policy;
        policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        policy.CustomTrustStore.AddRange(material.Authorities);
        return policy;
    }

    private Material Current()
    {
        lock (_lock)
        {
            var stamp = Stamp(_config);
            if (stamp == _stamp) return _material;
            _stamp = stamp;
            try
            {
                _material = Read(_config);
            }
            catch (EndpointException e)
            {
                Log.TlsFilesUnusable(_log, e.Message);
            }

            return _material;
        }
    }

    private static Material Read(TlsConfig config)
    {
        if (config.Cert is null != config.Key is null)
            throw new EndpointException($"tls: {(config.Cert is null ? "key without cert" : "cert without key")}; both name PEM files, or neither does.");
        var authorities = config.Ca is { } ca ? ReadCertificates("ca", ca) : null;
        return new Material(config.Cert is { } cert ? ReadCertificate(cert, config.Key!, authorities) : null, authorities);
    }

    private static SslStreamCertificateContext ReadCertificate(string cert, string key, X509Certificate2Collection? authorities)
    {
        var chain = ReadCertificates("cert", cert);
        var keyText = ReadText("key", key);
        try
        {
            var certificate = X509Certificate2.CreateFromPem(ReadText("cert", cert), keyText);
            chain.RemoveAt(0);
            if (authorities is not null) chain.AddRange(authorities);
            return SslStreamCertificateContext.Create(certificate, chain, offline: true);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new EndpointException($"tls: key {key} is not the PEM private key, without a password, of the certificate in {cert}.", e);
        }
    }

    private static X509Certificate2Collection ReadCertificates(string name, string path)
    {
        var certificates = new X509Certificate2Collection();
        try
        {
            certificates.ImportFromPem(ReadText(name, path));
        }
        catch (CryptographicException e)
        {
            throw new EndpointException($"tls: {name} {path} holds a damaged PEM certificate.", e);
        }

        return certificates.Count > 0 ? certificates : throw new EndpointException($"tls: {name} {path} holds no PEM certificate.");
    }

    private static string ReadText(string name, string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new EndpointException($"tls: {name} {path} does not exist.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new EndpointException($"tls: {name} {path} cannot be read: the system does not permit it.", e);
        }
    }

    /// <summary>Changes when one of the files does. A secret mounted anew is a new link: its target counts.</summary>
    private static string Stamp(TlsConfig config) => string.Join('|', new[] { config.Cert, config.Key, config.Ca }.Select(Stamp));

    private static string Stamp(string? path)
    {
        if (path is null) return "";
        var file = new FileInfo(path);
        var target = file.LinkTarget is null ? file : file.ResolveLinkTarget(returnFinalTarget: true) ?? file;
        target.Refresh();
        return target.Exists ? $"{target.FullName}:{((FileInfo)target).Length}:{target.LastWriteTimeUtc.Ticks}" : "missing";
    }

    private sealed record Material(SslStreamCertificateContext? Certificate, X509Certificate2Collection? Authorities);
}
