using System.Text.Encodings.Web;
using System.Text.Json;

namespace IoBufferEdge.Configuration;

/// <summary>Writes the JSON Schema (2020-12) of the configuration file from the same tables that read it.</summary>
internal static class ConfigSchema
{
    private static readonly JsonWriterOptions Options =
        new() { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static byte[] Write()
    {
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes, Options))
        {
            writer.WriteStartObject();
            writer.WriteString("$schema", "https://json-schema.org/draft/2020-12/schema");
            writer.WriteString("title", "IoBufferEdge configuration");
            GatewayKeys.Gateway.WriteSchema(writer);
            writer.WriteStartObject("$defs");
            foreach (var definition in Definitions(GatewayKeys.Gateway)) definition.WriteDefinition(writer);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        return [.. bytes.ToArray(), (byte)'\n'];
    }

    /// <summary>All objects that occur in <paramref name="root"/>, each once, outer ones first.</summary>
    internal static IEnumerable<IDefinition> Definitions(Shape root)
    {
        var found = new List<IDefinition>();
        Visit(root);
        return found;

        void Visit(Shape shape)
        {
            if (shape is IDefinition definition)
            {
                if (found.Contains(definition)) return;
                found.Add(definition);
            }

            foreach (var part in shape.Parts) Visit(part);
        }
    }
}
