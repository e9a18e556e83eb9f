using System.Net.Http.Headers;
using System.Text;
using IoBufferEdge.Configuration;
using IoBufferEdge.Secrets;

namespace IoBufferEdge.Endpoints.Remote;

/// <summary>
/// The account that requests carry (Basic). A password file or secret is read again when it has changed. A secret may be missing at first: it
/// is asked for at every request, so that the channel works from the moment on at which it is set.
/// </summary>
internal sealed class AccountHeader
{
    private readonly AuthConfig _auth;
    private readonly SecretStore _secrets;
    private readonly Lock _lock = new();
    private AuthenticationHeaderValue? _header;
    private string? _stamp;

    /// <exception cref="EndpointException">There is no password that can be had.</exception>
    public AccountHeader(AuthConfig auth, SecretStore secrets)
    {
        (_auth, _secrets) = (auth, secrets);
        if (auth.PasswordSecret is null) Current();
    }

    /// <exception cref="EndpointException">The password file or the secret cannot be read.</exception>
    public AuthenticationHeaderValue Current()
    {
        lock (_lock)
        {
            var stamp = Stamp(_auth.PasswordSecret is { } name ? _secrets.PathOf(name) : _auth.PasswordFile);
            if (_header is null || stamp != _stamp) (_header, _stamp) = (Basic(Password()), stamp);
            return _header;
        }
    }

    private AuthenticationHeaderValue Basic(string password) =>
        new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{_auth.Username}:{password}")));

    private string Password()
    {
        try
        {
            return _auth.Password ?? (_auth.PasswordSecret is { } name ? _secrets.ReadPassword(name) : ReadFile(_auth.PasswordFile));
        }
        catch (SecretException e)
        {
            throw new EndpointException($"auth: {e.Message}", e);
        }
    }

    private static string ReadFile(string? path)
    {
        if (path is null) throw new EndpointException("auth: there is no password: give password_file or password_secret.");
        try
        {
            using var reader = new StreamReader(path);
            return reader.ReadLine() is { Length: > 0 } line ? line : throw new EndpointException($"auth: the first line of password_file {path} is empty.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var why = File.Exists(path) ? "the system does not permit it" : "it does not exist";
            throw new EndpointException($"auth: password_file {path} cannot be read: {why}.", e);
        }
    }

    private static string? Stamp(string? path)
    {
        if (path is null) return null;
        var file = new FileInfo(path);
        if (file.LinkTarget is not null && file.ResolveLinkTarget(returnFinalTarget: true) is FileInfo target) file = target;
        return file.Exists ? $"{file.FullName}:{file.Length}:{file.LastWriteTimeUtc.Ticks}" : "missing";
    }
}
