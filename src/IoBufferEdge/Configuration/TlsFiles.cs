using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace IoBufferEdge.Configuration;

/// <summary>Whether certificates, keys and authorities are there and fit each other. Messages name files, never what is in them.</summary>
internal static class TlsFiles
{
    public static void Check(TlsConfig tls, bool server, string at, ConfigProblems problems)
    {
        if (server && tls.Cert is null) Missing("cert", "a TLS server needs its certificate, a PEM file");
        if ((server || tls.Cert is not null) && tls.Key is null) Missing("key", "the certificate needs its private key, a PEM file");
        if (tls.Cert is null && tls.Key is not null && !server) Missing("cert", "the private key needs its certificate, a PEM file");
        if (server && tls.VerifyPeer == true && tls.Ca is null)
            Missing("ca", "verify_peer needs the authorities that clients' certificates come from, a PEM file");
        if (server && tls.VerifyPeer != true && tls.Ca is not null)
            problems.Warn($"{at}.ca", "has no effect: clients are asked for a certificate only with verify_peer: true");
        if (!server && tls.VerifyPeer == false)
            problems.Warn($"{at}.verify_peer", "accepts any certificate: whoever sits in between can read and change everything");

        var certificate = ReadFile(tls.Cert, $"{at}.cert", problems);
        var key = ReadFile(tls.Key, $"{at}.key", problems);
        if (certificate is not null) CheckCertificate(certificate, key, tls, at, problems);
        if (ReadFile(tls.Ca, $"{at}.ca", problems) is { } authorities) CheckAuthorities(authorities, tls, at, problems);

        void Missing(string name, string why)
        {
            if (problems.IsReadable($"{at}.{name}")) problems.Error($"{at}.{name}", $"is missing: {why}");
        }
    }

    public static void CheckReadable(string file, string at, ConfigProblems problems) => ReadFile(file, at, problems);

    private static string? ReadFile(string? file, string at, ConfigProblems problems)
    {
        if (file is null) return null;
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            var why = error switch
            {
                FileNotFoundException or DirectoryNotFoundException => "does not exist",
                UnauthorizedAccessException when Directory.Exists(file) => "is a folder",
                UnauthorizedAccessException => "may not be read by this user",
                _ => "cannot be read",
            };
            problems.Error(at, $"names {Spelling.Quote(file)}, which {why}");
            return null;
        }
    }

    private static void CheckCertificate(string certificate, string? key, TlsConfig tls, string at, ConfigProblems problems)
    {
        try
        {
            using var parsed = X509Certificate2.CreateFromPem(certificate);
        }
        catch (CryptographicException)
        {
            problems.Error($"{at}.cert", $"names {Spelling.Quote(tls.Cert!)}, which holds no certificate in PEM form");
            return;
        }

        if (key is null) return;
        try
        {
            using var pair = X509Certificate2.CreateFromPem(certificate, key);
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException)
        {
            problems.Error($"{at}.key", $"names {Spelling.Quote(tls.Key!)}, which holds no unencrypted PEM key that belongs to cert");
        }
    }

    private static void CheckAuthorities(string authorities, TlsConfig tls, string at, ConfigProblems problems)
    {
        var found = new X509Certificate2Collection();
        try
        {
            found.ImportFromPem(authorities);
        }
        catch (CryptographicException)
        {
            found.Clear();
        }

        if (found.Count == 0) problems.Error($"{at}.ca", $"names {Spelling.Quote(tls.Ca!)}, which holds no certificate in PEM form");
        foreach (var authority in found) authority.Dispose();
    }
}
