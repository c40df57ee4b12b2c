import com.pixelmed.validate.DicomSRValidator;

/**
 * Validates many Structured Reports in one Java process, so that PixelMed compiles its style
 * sheets once and not for every file. Prints a line "== FILE name" and, below it, what PixelMed
 * says.
 */
public final class ValidateReports {
    private ValidateReports() {
    }

    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String file : files) {
            System.out.println("== FILE " + file);
            System.out.println(validator.validate(file));
        }
    }
}
