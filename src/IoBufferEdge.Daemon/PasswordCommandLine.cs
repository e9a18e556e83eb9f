using System.Security.Cryptography;
using System.Text;
using IoBufferEdge.Endpoints.Remote;

namespace IoBufferEdge.Daemon;

/// <summary><c>iobuffer passwd</c>: reads a password, from a terminal twice and without showing it, else the first line; prints its hash.</summary>
internal static class PasswordCommandLine
{
    public static int Run(TextWriter output, TextWriter errors)
    {
        var typed = !Console.IsInputRedirected;
        var password = typed ? Ask("Password: ", errors) : Console.In.ReadLine() ?? "";
        var problem = password.Length < PasswordHash.MinPasswordLength
            ? $"The password must have at least {PasswordHash.MinPasswordLength} characters, but has {password.Length}."
            : typed && Ask("Again: ", errors) != password ? "The two are not the same." : null;
        if (problem is not null)
        {
            errors.WriteLine(problem);
            return ExitCode.Failed;
        }

        output.WriteLine(PasswordHash.Create(password, RandomNumberGenerator.GetBytes(PasswordHash.SaltBytes)));
        return ExitCode.Ok;
    }

    internal static string Ask(string prompt, TextWriter errors)
    {
        errors.Write(prompt);
        var typed = new StringBuilder();
        while (Console.ReadKey(intercept: true) is { Key: not ConsoleKey.Enter } key)
        {
            if (key.Key != ConsoleKey.Backspace && !char.IsControl(key.KeyChar)) typed.Append(key.KeyChar);
            else if (key.Key == ConsoleKey.Backspace && typed.Length > 0) typed.Length--;
        }

        errors.WriteLine();
        return typed.ToString();
    }
}
