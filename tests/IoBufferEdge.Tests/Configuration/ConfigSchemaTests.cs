using IoBufferEdge.Configuration;

namespace IoBufferEdge.Tests.Configuration;

public sealed class ConfigSchemaTests
{
    /// <summary>After a change of the tables run it once with <c>IOBUFFER_WRITE_SCHEMA=1</c> in the environment.</summary>
    [Fact]
    public void The_embedded_schema_is_the_one_that_the_tables_write()
    {
        var written = ConfigSchema.Write();
        if (Environment.GetEnvironmentVariable("IOBUFFER_WRITE_SCHEMA") == "1") File.WriteAllBytes(SchemaFile(), written);
        Assert.Equal(System.Text.Encoding.UTF8.GetString(written), File.ReadAllText(SchemaFile()));
        Assert.Equal(written, DefaultConfig.Schema());
    }

    private static string SchemaFile([System.Runtime.CompilerServices.CallerFilePath] string here = "") =>
        Path.Combine(Path.GetDirectoryName(here)!, "../../../src/IoBufferEdge/Configuration/iobuffer.schema.json");
}
