using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using IoBufferEdge.Control.Configuring;

namespace IoBufferEdge.Control;

/// <summary>How far an update of the image is.</summary>
[JsonConverter(typeof(UpperCaseConverter<UpdateState>))]
public enum UpdateState
{
    /// <summary>It is written into the other slot; what runs goes on.</summary>
    Installing,

    /// <summary>It is in its slot, which has yet to prove itself.</summary>
    Installed,

    /// <summary>Its slot has proved itself.</summary>
    Confirmed,

    /// <summary>Its slot did not prove itself: the former one runs.</summary>
    RolledBack,

    /// <summary>It was refused, or could not be installed; nothing has changed.</summary>
    Failed,
}

/// <summary>What became of the last update.</summary>
/// <param name="Message">One sentence.</param>
/// <param name="BootId">The boot in which this was noted.</param>
/// <param name="Version">Of the bundle; null where it could not be read.</param>
/// <param name="Percent">While it is installed: how far that is.</param>
public sealed record UpdateStatus(
    UpdateState Status, string Message, DateTimeOffset At, string BootId, string? Version = null, int? Percent = null);

/// <summary>The firmware image that the gateway is part of.</summary>
/// <param name="Slot">The one that runs, <c>a</c> or <c>b</c>.</param>
/// <param name="Proving">It is new, and goes back to the other one unless it proves itself.</param>
/// <param name="ProvisioningError">Why what lies in <c>provision/</c> was not taken.</param>
public sealed record ImageStatus(string Version, string Slot, bool Proving, UpdateStatus? Update = null, string? ProvisioningError = null);

/// <summary>
/// The image around the gateway, by a folder in memory that both know. The image's services write <c>image.json</c>, <c>update.json</c> and
/// <c>provisioning-refused</c> there. The gateway is not root: what it wants done it writes into <c>requests/</c>, <c>update</c> with the bundle's
/// address or <c>factory-reset</c>; a service takes the request away and judges it by its own rules. Any thread.
/// </summary>
/// <param name="folder">Absolute.</param>
public sealed class SystemImage(string folder, TimeProvider time)
{
    private const int MaxFileBytes = 16 * 1024;
    private const int MaxAddressChars = 2048;

    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(500);

    private readonly Lock _sync = new();
    private long? _lookedAt;
    private ImageStatus? _status;

    /// <summary>What the image tells of itself, half a second old at most; null where it tells nothing.</summary>
    public ImageStatus? Status
    {
        get
        {
            lock (_sync)
            {
                if (_lookedAt is { } at && time.GetElapsedTime(at) < LookEvery) return _status;
                _lookedAt = time.GetTimestamp();
                return _status = Look();
            }
        }
    }

    /// <summary>The bundle's address: http or https. Over either it is taken only with a signature that the device knows.</summary>
    public static bool IsAddress(string? url) =>
        url is { Length: > 0 and <= MaxAddressChars } && !url.Any(c => c is <= ' ' or > '~') && Uri.TryCreate(url, UriKind.Absolute, out var uri)
        && (uri.Scheme == Uri.UriSchemeHttps || uri.Scheme == Uri.UriSchemeHttp) && uri.Host.Length > 0 && uri.UserInfo.Length == 0;

    /// <summary>Asks for an update; what becomes of it shows in <see cref="Status"/>.</summary>
    /// <exception cref="IOException">It cannot be asked for.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public void RequestUpdate(string url) => Request("update", url);

    /// <summary>Asks for an empty data partition and a restart. Exceptions as of <see cref="RequestUpdate"/>.</summary>
    public void RequestFactoryReset() => Request("factory-reset", "");

    private void Request(string name, string text) => PrivateFile.Write(Path.Combine(folder, "requests", name), Encoding.ASCII.GetBytes($"{text}\n"));

    private ImageStatus? Look()
    {
        try
        {
            if (Read("image.json") is not { } image) return null;
            var status = JsonSerializer.Deserialize(image, ImageJson.Default.ImageStatus);
            var update = Read("update.json") is { } bytes ? JsonSerializer.Deserialize(bytes, ImageJson.Default.UpdateStatus) : null;
            var refused = Read("provisioning-refused") is { } text ? Encoding.UTF8.GetString(text).Trim() : null;
            return status is null ? null : status with { Update = update, ProvisioningError = refused };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private byte[]? Read(string name) => PrivateFile.Read(Path.Combine(folder, name), MaxFileBytes);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(ImageStatus))]
[JsonSerializable(typeof(UpdateStatus))]
internal sealed partial class ImageJson : JsonSerializerContext;
